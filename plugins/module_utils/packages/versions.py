# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of a package a repository offers, from ``apt-cache madison`` and ``dnf repoquery``.

An exact version is chosen here and installed by that name (``name=version``), because a glob or a bare name follows the
repository to the next branch. Nothing here runs a command.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed

# dnf repoquery --qf; a version that holds this separator is in no repository
REPOQUERY_FORMAT = r"%{name}|%{epoch}:%{version}-%{release}|%{arch}|%{repoid}\n"
_SHOWN = 8  # candidates named in a message


@dataclass(frozen=True)
class Candidate:
    """One version of a package in one repository; ``version`` is what the package manager installs by."""

    name: str
    version: str
    source: str

    @property
    def upstream(self) -> str:
        """The version without epoch and packaging revision.

        >>> Candidate("docker-ce", "5:28.5.2-1~debian.13~trixie", "").upstream
        '28.5.2'
        """
        return self.without_epoch.rpartition("-")[0] or self.without_epoch

    @property
    def without_epoch(self) -> str:
        return self.version.partition(":")[2] or self.version

    @property
    def branch(self) -> str:
        """The first number: 580 of 580.95.05."""
        return self.upstream.partition(".")[0]


def parse_madison(text: str) -> list[Candidate]:
    """``apt-cache madison NAME...``: rows ``name | version | source``; those of source packages are left out."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 3 and all(fields[:2]) and not fields[2].endswith(" Sources"):
            found.append(Candidate(*fields))
    return found


def parse_repoquery(text: str) -> list[Candidate]:
    """``dnf repoquery --qf REPOQUERY_FORMAT NAME...``; an epoch of 0 or ``(none)`` is left away, as in ``rpm -q``."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 4 and fields[2] != "src":
            name, version, _arch, source = fields
            found.append(Candidate(name, re.sub(r"^(0|\(none\)):", "", version), source))
    return found


def matches(candidate: Candidate, wanted: str) -> bool:
    """Whether a candidate is as wanted: this very version, or one of the branch that ``wanted`` begins.

    >>> [matches(Candidate("d", v, ""), "580.9") for v in ("580.9.1-1", "580.95.05-1", "1:580.9-2")]
    [True, False, True]
    >>> [matches(Candidate("d", v, ""), "1.7.24") for v in ("1.7.24~ds1-6", "5:1.7.24~3-0~ubuntu-jammy", "1.7.24~rc1-1")]
    [True, True, False]
    """
    if wanted in (candidate.version, candidate.without_epoch):
        return True
    # a packaging revision in the wanted version is compared too
    offered = candidate.without_epoch if "-" in wanted else candidate.upstream
    if ":" in wanted:
        offered = candidate.version
    rest = offered[len(wanted) :]
    # 580~rc1 comes before 580; 1.18.0-1~bpo1 is a 1.18.0-1, 1.7.24~ds1 what Debian made of 1.7.24
    return offered.startswith(wanted) and not re.match(r"[^\W_]|~(a|alpha|b|beta|dev|git|pre|rc|svn)(?![a-z])", rest)


def newest(candidates: Iterable[Candidate]) -> Candidate | None:
    """The candidate with the highest version; the first of several that are equal."""
    best: Candidate | None = None
    for candidate in candidates:
        if best is None or debian_key(candidate.version) > debian_key(best.version):
            best = candidate
    return best


def resolve(
    candidates: Iterable[Candidate], names: Sequence[str], wanted: str, where: str
) -> tuple[Candidate | None, list[Finding]]:
    """The newest candidate that is ``wanted``, under the first of the alternative ``names`` that offers it.

    wanted: an exact version (``580.95.05``, with or without epoch and revision) or the beginning of one at a full part
    (``580``, ``580.95``). where: the variable that holds it, for the finding. Returns the candidate, or None and one
    failed check that lists what there is.
    """
    offered = list(candidates)
    for name in names:
        best = newest(one for one in offered if one.name == name and matches(one, wanted))
        if best:
            return best, []
    called = " or ".join(names)
    there = sorted({one for one in offered if one.name in names}, key=lambda one: debian_key(one.version), reverse=True)
    shown = list(dict.fromkeys(f"{one.name} {one.version}" for one in there))
    if not shown:
        message = f"no repository of this node has {called}"
        remedy = "look at the repository's address, and whether it serves this release and architecture"
        return None, [failed("package-unknown", where, message, remedy, names=list(names), candidates=[])]
    listed = ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} older" if len(shown) > _SHOWN else "")
    message = f"no {called} of version {wanted}; the repositories have {listed}"
    remedy = f"set {where} to one of these, or to the beginning of one (a branch, such as {there[0].branch})"
    return None, [failed("package-version", where, message, remedy, names=list(names), candidates=shown)]


def debian_key(version: str) -> tuple[object, ...]:
    """Sort key of a package version in Debian's order (Debian Policy, 5.6.12): numbers as numbers, ``~`` before the end,
    letters before the rest. For rpm it is the same as long as versions differ in numbers only, as those of drivers do.

    >>> sorted(["1:1.0", "580.105.08-1", "580.95.05-1", "590~rc1-1", "590-1"], key=debian_key)
    ['580.95.05-1', '580.105.08-1', '590~rc1-1', '590-1', '1:1.0']
    >>> debian_key("0") == debian_key("0-0")
    True
    """
    epoch, separator, rest = version.partition(":")
    if not separator:
        epoch, rest = "0", version
    upstream, _dash, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    # no revision is the revision 0
    return (int(epoch) if epoch.isdigit() else 0, _part_key(upstream), _part_key(revision or "0"))


def _part_key(text: str) -> tuple[object, ...]:
    key: list[object] = []
    for word, digits in re.findall(r"(\D*)(\d*)", text):
        # the end of the text counts as 0: after "~", before everything else
        key.append((*(_order(char) for char in word), 0))
        key.append(int(digits or 0))
    return tuple(key)


def _order(char: str) -> int:
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256
