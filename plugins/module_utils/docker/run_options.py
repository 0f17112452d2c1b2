# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of ``docker run``, ``podman run`` and ``nerdctl run`` as their parser (pflag) reads them. Pure; private.

Sources: `docker run --help` of docker 28.2.2 and `podman run --help` of podman 4.3.1 (both run), and nerdctl's
cmd/nerdctl/container/container_run.go (00cf6f5, read). The tables are those of all three together: no option takes a value in one
and none in another (a test holds them against the recorded tables). Where one of them may come to, an option is in none, and what
follows it is not known for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_VALUED = frozenset(
    "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-period "
    "cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach-keys device device-cgroup-rule "
    "device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option dns-search domainname entrypoint env "
    "env-file expose gpus group-add health-cmd health-interval health-retries health-start-period health-timeout hostname ip ip6 "
    "ipc kernel-memory label label-file link log-driver log-opt mac-address memory memory-reservation memory-swap "
    "memory-swappiness mount name net network network-alias oom-score-adj pid pids-limit platform publish pull restart runtime "
    "security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs ulimit umask user userns uts volume volume-driver "
    "volumes-from workdir".split()
)
_SWITCHES = frozenset(
    "detach env-host help init interactive no-healthcheck oom-kill-disable privileged publish-all quiet read-only rm rootfs "
    "sig-proxy tty use-api-socket".split()
)
_OWN_VALUED: Mapping[str, frozenset[str]] = {
    "podman": frozenset(
        "arch authfile cgroup-conf cgroups chrootdirs conmon-pidfile env-merge gidmap health-on-failure hostuser "
        "image-volume init-path os passwd-entry personality pidfile pod pod-id-file preserve-fds requires sdnotify "
        "seccomp-policy secret subgidname subuidname systemd timeout tz uidmap unsetenv variant".split()
    ),
    "nerdctl": frozenset(
        "cgroup-conf cosign-certificate-identity cosign-certificate-identity-regexp cosign-certificate-oidc-issuer "
        "cosign-certificate-oidc-issuer-regexp cosign-key dns-opt init-binary ipfs-address pidfile rdt-class systemd "
        "verify".split()
    ),
}
_OWN_SWITCHES: Mapping[str, frozenset[str]] = {
    "podman": frozenset("http-proxy no-hosts passwd read-only-tmpfs replace rmi tls-verify unsetenv-all".split()),
    "nerdctl": frozenset(),
}
"""Options that docker has not."""
VALUED = _VALUED.union(*_OWN_VALUED.values())
SWITCHES = _SWITCHES.union(*_OWN_SWITCHES.values())
"""Without a value, or with one behind ``=``."""
SHORT = {
    **{"a": "attach", "c": "cpu-shares", "d": "detach", "e": "env", "h": "hostname", "i": "interactive", "l": "label"},
    **{"m": "memory", "P": "publish-all", "p": "publish", "q": "quiet", "t": "tty", "u": "user", "v": "volume"},
    "w": "workdir",
}
FALSE = ("0", "f", "false")
"""What a switch is switched off by, in small letters (strconv.ParseBool)."""


class Option(NamedTuple):
    """One option. name: without dashes, long where it is known; of a word that is no option, the word.

    value: what it gets; None where it lacks one. words: as they were written, so that they can be passed on.
    """

    name: str
    value: str | None
    words: tuple[str, ...]
    known: bool = True
    """Whether it is an option of a table here, so that it is known which words belong to it."""

    @property
    def off(self) -> bool:
        """A switch that is switched off."""
        return self.name in SWITCHES and self.value is not None and self.value.lower() in FALSE


def foreign(name: str, runtime: str) -> bool:
    """Whether an option is that of another runtime only. runtime: docker, podman, nerdctl; empty where it is not known."""
    own = {one: _OWN_VALUED[one] | _OWN_SWITCHES[one] for one in _OWN_VALUED}
    return bool(runtime) and any(name in one for one in own.values()) and name not in own.get(runtime, frozenset())


def parse(words: Sequence[str]) -> list[Option]:
    """The options that the words are, in their order."""
    waiting = list(words)
    found: list[Option] = []
    while waiting:
        found += _read(waiting.pop(0), waiting)
    return found


def split(words: Sequence[str]) -> tuple[list[Option], list[str]]:
    """The options of a whole ``run``, and what follows them: the image and its command."""
    waiting = list(words)
    found: list[Option] = []
    while waiting and waiting[0].startswith("-") and waiting[0] not in ("-", "--"):
        found += _read(waiting.pop(0), waiting)
    return found, waiting[1:] if waiting[:1] == ["--"] else waiting


def _read(word: str, waiting: list[str]) -> Iterator[Option]:
    if word.startswith("--") and len(word) > 2:
        name, joined, value = word[2:].partition("=")
        if joined:
            yield Option(name, value, (word,), name in VALUED or name in SWITCHES)
        elif name in VALUED:
            yield _with_next(name, word, waiting)
        elif name in SWITCHES:
            yield Option(name, "", (word,))
        elif waiting and not waiting[0].startswith("-"):  # its value, or the image
            yield Option(name, waiting[0], (word, waiting.pop(0)), known=False)
        else:
            yield Option(name, None, (word,), known=False)
    elif word.startswith("-") and word not in ("-", "--"):
        yield from _read_short(word[1:], waiting)
    else:  # the image, or the end of the options
        yield Option(word, None, (word,), known=False)


def _read_short(rest: str, waiting: list[str]) -> Iterator[Option]:
    """Letters in one word: switches, and as the last one an option whose value is the rest or the next word."""
    while rest:
        letter, rest = rest[0], rest[1:]
        name = SHORT.get(letter, "")
        if name in SWITCHES and not rest.startswith("="):
            yield Option(name, "", (f"-{letter}",))
            continue
        if not name:
            yield Option(f"-{letter}{rest}", None, (f"-{letter}{rest}",), known=False)
        elif rest:
            yield Option(name, rest.removeprefix("="), (f"-{letter}{rest}",))
        else:
            yield _with_next(name, f"-{letter}", waiting)
        return


def _with_next(name: str, word: str, waiting: list[str]) -> Option:
    return Option(name, waiting[0], (word, waiting.pop(0))) if waiting else Option(name, None, (word,))
