# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""apt and dnf behind one interface: what is offered, installed and held; install exact versions, hold, remove.

Commands are run by the caller's function. dnf's commands are written from its documentation and tested as command lines.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.packages.versions import (
    REPOQUERY_FORMAT,
    Candidate,
    parse_madison,
    parse_repoquery,
)

# runs a command and gives (code, stdout, stderr): AnsibleModule.run_command
Run = Callable[..., "tuple[int, str, str]"]


class PackageError(Exception):
    """The package manager failed; the message holds the end of its output, ``output`` all of it."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output or message


@dataclass(frozen=True)
class Outlook:
    """What an installation would do: name → version that gets installed, and the names that get removed."""

    install: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Apt:
    """Debian's apt-get and dpkg. ``lock_timeout_s``: how long to wait for another apt to end."""

    def __init__(self, run: Run, lock_timeout_s: int) -> None:
        self._run = run
        self._options = [
            "-o",
            f"DPkg::Lock::Timeout={lock_timeout_s}",
            "-o",
            "Dpkg::Options::=--force-confdef",
            "-o",
            "Dpkg::Options::=--force-confold",
        ]

    def _get(self, *words: str) -> str:
        env = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "NEEDRESTART_SUSPEND": "1"}
        code, output, error = self._run(["apt-get", *self._options, *words], environ_update=env)
        if code:
            # dpkg and the packages' scripts print to a terminal of apt's, which is its output
            details = output if "Sub-process" in error or not error.strip() else ""
            last = "\n".join([*details.strip().splitlines()[-25:], *error.strip().splitlines()[-15:]])
            raise PackageError(last, output=f"{output}\n{error}")
        return output

    def refresh(self, sources: Sequence[str]) -> None:
        """Read the lists again; a source that cannot be read, or has another key, is an error for ``sources`` only."""
        self._get("update")
        for source in sources:
            only = [
                "-o",
                f"Dir::Etc::sourcelist={source}",
                "-o",
                "Dir::Etc::sourceparts=-",
                "-o",
                "APT::Get::List-Cleanup=0",
            ]
            self._get("update", "-o", "APT::Update::Error-Mode=any", *only)

    def unread(self) -> bool:
        """Whether the lists of the repositories were never read, as on a new node: then nothing is known of any offer."""
        words = ["apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]
        return not self._run(words, check_rc=True)[1].strip()

    def offered(self, names: Sequence[str]) -> list[Candidate]:
        if not names:
            return []
        _code, output, _error = self._run(["apt-cache", "madison", *names])
        return parse_madison(output)

    def installed(self) -> dict[str, str]:
        _code, output, _error = self._run(
            ["dpkg-query", "-W", "-f=${db:Status-Abbrev}|${Package}|${Version}\n"], check_rc=True
        )
        rows = (line.split("|") for line in output.splitlines())
        return {row[1]: row[2] for row in rows if row[0][1:2] == "i"}

    def held(self) -> set[str]:
        _code, output, _error = self._run(["apt-mark", "showhold"], check_rc=True)
        return {line.partition(":")[0] for line in output.splitlines()}

    def outlook(self, wanted: dict[str, str]) -> Outlook:
        # holds are released and the pin is replaced before the real installation; the old ones would prevent the simulation
        ahead = ["-o", "APT::Ignore-Hold=true", "-o", "Dir::Etc::PreferencesParts=/dev/null"]
        return parse_simulation(self._get("-s", *ahead, *self._install_words(wanted)))

    def install(self, wanted: dict[str, str]) -> None:
        self._get("-y", *self._install_words(wanted))

    @staticmethod
    def _install_words(wanted: dict[str, str]) -> list[str]:
        return [
            "--no-install-recommends",
            "--allow-downgrades",
            "--allow-change-held-packages",
            "install",
            *(f"{name}={version}" for name, version in wanted.items()),
        ]

    def remove(self, names: Iterable[str]) -> None:
        self._get("-y", "--allow-change-held-packages", "purge", *sorted(names))

    def hold(self, packages: dict[str, str]) -> None:
        self._run(["apt-mark", "hold", *sorted(packages)], check_rc=True)

    def unhold(self, names: Iterable[str]) -> None:
        self._run(["apt-mark", "unhold", *sorted(names)], check_rc=True)


class Dnf:
    """dnf with its versionlock plugin."""

    def __init__(self, run: Run, lock_timeout_s: int) -> None:
        self._run = run

    def _dnf(self, *words: str) -> str:
        code, output, error = self._run(["dnf", "-q", *words], environ_update={"LC_ALL": "C"})
        if code:
            raise PackageError("\n".join((error.strip() or output.strip()).splitlines()[-15:]))
        return output

    def refresh(self, sources: Sequence[str]) -> None:
        """dnf refuses a repository with a wrong signature by itself (repo_gpgcheck)."""
        self._dnf("makecache")

    def unread(self) -> bool:
        """dnf reads missing lists by itself."""
        return False

    def offered(self, names: Sequence[str]) -> list[Candidate]:
        return [] if not names else parse_repoquery(self._dnf("repoquery", "--qf", REPOQUERY_FORMAT, *names))

    def installed(self) -> dict[str, str]:
        row_format = "%{NAME}|%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n"
        _code, output, _error = self._run(["rpm", "-qa", "--qf", row_format], check_rc=True)
        rows = (line.partition("|") for line in output.splitlines())
        return {name: version[2:] if version.startswith("0:") else version for name, _unused, version in rows}

    def held(self) -> set[str]:
        return parse_versionlock(self._dnf("versionlock", "list"))

    def outlook(self, wanted: dict[str, str]) -> Outlook:
        return Outlook(dict(wanted))

    def install(self, wanted: dict[str, str]) -> None:
        words = [_full(name, version) for name, version in wanted.items()]
        self._dnf("-y", "--allowerasing", "--setopt=install_weak_deps=False", "install", *words)

    def remove(self, names: Iterable[str]) -> None:
        self._dnf("-y", "remove", *sorted(names))

    def hold(self, packages: dict[str, str]) -> None:
        self._dnf("versionlock", "add", *(_full(name, version) for name, version in sorted(packages.items())))

    def unhold(self, names: Iterable[str]) -> None:
        self._dnf("versionlock", "delete", *sorted(names))


def _full(name: str, version: str) -> str:
    return f"{name}-{version}"


def parse_simulation(text: str) -> Outlook:
    """``apt-get -s install``: ``Inst name [old] (new source)`` and ``Remv name [old]``.

    >>> parse_simulation("Remv a [1-1]\\nInst b [1-1] (2-1 x:all [all])\\nConf b (2-1 x:all [all])")
    Outlook(install={'b': '2-1'}, remove=('a',))
    """
    install = dict(re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", text, re.MULTILINE))
    return Outlook(install, tuple(re.findall(r"^Remv (\S+)", text, re.MULTILINE)))


def parse_versionlock(text: str) -> set[str]:
    """``dnf versionlock list``: rows ``name-epoch:version-release.*`` → names.

    >>> sorted(parse_versionlock("nvidia-open-3:580.95.05-1.el9.*\\nLast metadata expiration check: ..."))
    ['nvidia-open']
    """
    return {match.group(1) for match in re.finditer(r"^(\S+)-\d+:[^\s-]+-\S+$", text, re.MULTILINE)}
