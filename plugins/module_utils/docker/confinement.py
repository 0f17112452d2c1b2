# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which words for a container runtime, and which mounts, give a container the node. Pure; private to this collection.

What is known to be harmless passes, everything else does not: options, their values, keys of mounts, paths. Sources:
docker-run(1), podman-run(1) of 4.3.1, nerdctl's docs/command-reference.md, capabilities(7), docs.docker.com:
reference/cli/docker/container/run (options), engine/storage (keys of --mount). A link on the node that leads to a protected
path is not seen: only its name is known.
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.docker import run_options
from ansible_collections.fullrank.serving.plugins.module_utils.docker.run_options import FALSE, Option
from ansible_collections.fullrank.serving.plugins.module_utils.node import system_paths

HARMLESS_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID IPC_LOCK KILL NET_BIND_SERVICE SETGID SETPCAP SETUID SYS_CHROOT SYS_NICE "
    "SYS_PTRACE SYS_RESOURCE".split()
)
"""They reach no further than the container's own processes and what is mounted into it."""
_HARMLESS_DEVICES = re.compile(
    r"/dev/(infiniband(/\w+)?|nvidia[\w-]*(/[\w-]+)?|gdrdrv|dri(/\w+)?|kfd|fuse|shm)|"  # of the node
    r"[a-z0-9-]+(\.[a-z0-9-]+)+/[A-Za-z][\w-]*=[\w.:-]+"  # names of CDI, nvidia.com/gpu=all, which are no paths
)
HARMLESS = frozenset(
    "add-host blkio-weight blkio-weight-device cap-drop cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus "
    "cpuset-cpus cpuset-mems detach-keys device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option "
    "dns-search domainname env expose gpus health-cmd health-interval health-retries health-start-period "
    "health-timeout hostname init ip ip6 interactive kernel-memory mac-address memory memory-reservation memory-swap "
    "memory-swappiness network-alias no-healthcheck oom-kill-disable oom-score-adj pids-limit platform publish publish-all pull "
    "quiet read-only shm-size sig-proxy stop-signal stop-timeout tmpfs tty ulimit umask user workdir".split()
) | frozenset(
    # podman's and nerdctl's own: the image's platform, the container's /etc, environment, time and end
    "arch dns-opt env-merge health-on-failure no-hosts os passwd passwd-entry read-only-tmpfs timeout tz unsetenv unsetenv-all "
    "variant".split()
)
"""Options that reach no further than the container, whatever their value."""
_UNKNOWN = "it is not among the options that are known to be harmless"
_RUNTIMES = ("crun", "nvidia", "runc", "io.containerd.runc.v2")
_LOG_DRIVERS = ("fluentd", "gelf", "journald", "json-file", "local", "none", "passthrough", "syslog")
_LOG_OPTIONS = re.compile(
    r"(max-size|max-file|max-buffer-size|size|compress|mode|tag|labels|labels-regex|env|env-regex)(=.*)?"
)
_LABELS_OF_RUNTIMES = re.compile(r"(nerdctl/|io\.|com\.docker\.|run\.oci\.)")
"""Beginnings of labels that a runtime itself reads."""
_SELINUX = re.compile(r"level:.*|type:(container_t|container_init_t|container_file_t|nvidia_container_t)")
_SOCKETS = re.compile(r".*\.sock(et)?")
_READABLE = (
    *(
        "/etc/ca-certificates",
        "/etc/group",
        "/etc/hosts",
        "/etc/libibverbs.d",
        "/etc/localtime",
        "/etc/nccl.conf",
        "/etc/nsswitch.conf",
    ),
    *(
        "/etc/passwd",
        "/etc/pki/ca-trust",
        "/etc/pki/tls/certs",
        "/etc/resolv.conf",
        "/etc/ssl/certs",
        "/etc/ssl/fullrank",
    ),
    *("/etc/timezone", "/sys/class/infiniband", "/sys/class/net", "/sys/devices/system"),
)
"""Below a protected tree, and harmless where the container can only read it. /etc/ssl/fullrank is where docs/security.md puts an
engine's certificate with its key."""
_USABLE = ("/dev/hugepages", "/dev/infiniband", "/dev/shm", "/run/nvidia-persistenced", "/var/run/nvidia-topologyd")
_VOLUME_WORDS = frozenset(
    "cached consistent copy delegated nocopy nodev noexec nosuid private ro rprivate rslave rw slave z Z".split()
)
_MOUNT_KEYS: Mapping[str, frozenset[str]] = {
    "bind": frozenset("bind-nonrecursive bind-propagation bind-recursive consistency relabel".split()),
    "volume": frozenset("consistency volume-label volume-nocopy".split()),
    "tmpfs": frozenset("tmpfs-mode tmpfs-size size mode".split()),
}
_MOUNT_SOURCES, _MOUNT_TARGETS = ("source", "src"), ("destination", "dst", "target")
_TRUE = ("", "1", "t", "true")
"""With no value a key is true."""


def beyond(words: Sequence[str], mounts: Iterable[Mapping[str, Any]] = (), runtime: str = "") -> list[str]:
    """What gives the node away, in words; empty when nothing does.

    words: options for ``run`` as the user wrote them. mounts: source and read_only of each. runtime: which has
    them; empty where any may.
    """
    return beyond_options(run_options.parse([str(word) for word in words]), mounts, runtime)


def beyond_options(options: Iterable[Option], mounts: Iterable[Mapping[str, Any]] = (), runtime: str = "") -> list[str]:
    """As `beyond`, of words that were read already."""
    found = [f"{' '.join(one.words)}: {why}" for one in options if (why := _judge(one, runtime))]
    found += [
        why for one in mounts if (why := exposed(str(one["source"]), read_only=bool(one.get("read_only", False))))
    ]
    return list(dict.fromkeys(found))


def exposed(source: str, *, read_only: bool) -> str:
    """Why a path of the node must not be mounted; empty when it may, and for the name of a volume."""
    if ":" in source:
        return f"{source}: a colon would end the path"
    if "/" not in source and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", source):
        return ""
    if not source.startswith("/"):
        return f"{source}: a path that does not begin with / depends on where the runtime is called"
    path = system_paths.normal(source)
    usable = any(system_paths.within(path, one) for one in _USABLE) or (
        read_only and any(system_paths.within(path, one) for one in _READABLE)
    )
    why = "" if usable else _protected(path, read_only)
    return f"{path}: {why}" if why else ""


def _protected(path: str, read_only: bool) -> str:
    if _SOCKETS.fullmatch(posixpath.basename(path)):
        return "who reaches the socket of a service of the node, such as a container runtime, has what it can do"
    if system_paths.for_data(path, read_only=read_only):
        return ""
    if system_paths.for_data(path, read_only=True):
        return "programs of the node, which the container could replace; mount it read-only"
    return "it is not known to hold data only, and may give away the node's configuration, devices, processes or keys"


def _judge(one: Option, runtime: str) -> str:
    """Why an option is refused; empty when it is not."""
    if run_options.foreign(one.name, runtime):
        return f"{runtime} has no such option"
    if not one.known:
        if not one.words[0].startswith("-") or one.words[0] in ("-", "--"):
            return "it is no option, and would be read as the image"
        return "an option and its value are two words of the list" if " " in one.words[0] else _UNKNOWN
    if one.value is None:
        return "it lacks its value, and would take the next word for it"
    if one.name in HARMLESS or one.off:
        return ""
    judge = _JUDGES.get(one.name)
    return judge(one.value) if judge else _UNKNOWN


def _each(value: str) -> list[str]:
    """Values in one word: podman and nerdctl read several options as lists (pflag's StringSlice), docker does not."""
    return _fields(value) or [value]


def _fields(value: str) -> list[str]:
    """The fields of a line of CSV, as the runtimes read it; none where it is no such line."""
    try:
        rows = list(csv.reader([value], strict=True))
    except csv.Error:
        return []
    return rows[0] if len(rows) == 1 else []


def _privileged(_value: str) -> str:
    return "it gives the container the whole node"


def _capability(value: str) -> str:
    names = {one.strip().upper().removeprefix("CAP_") for one in value.split(",")}
    beyond_own = sorted(names - HARMLESS_CAPABILITIES)
    return f"{', '.join(beyond_own)} reaches beyond the container" if beyond_own else ""


def _security(value: str) -> str:
    """docker splits at the first = and, without one, at the first colon."""
    name, _unused, setting = value.partition("=") if "=" in value else value.partition(":")
    fine = {
        "no-new-privileges": setting.lower() in _TRUE,
        "seccomp": setting == "builtin" or (setting.startswith("/") and not exposed(setting, read_only=True)),
        "apparmor": bool(re.fullmatch(r"(?!unconfined)[\w.-]+", setting, re.IGNORECASE)),
        "label": bool(_SELINUX.fullmatch(setting)),
        "mask": True,
    }
    return "" if fine.get(name, False) else "it takes away what confines the container, or may"


def _device(value: str) -> str:
    for one in _each(value):
        path = one.partition(":")[0] if one.startswith("/") else one
        if not _HARMLESS_DEVICES.fullmatch(posixpath.normpath(path) if path.startswith("/") else path):
            return "a device of the node"
    return ""


def _namespace(value: str) -> str:
    return "" if value == "private" else "it shares a namespace with the node or with another container"


def _file(value: str) -> str:
    for one in _each(value):
        if "/" not in one or (why := exposed(one, read_only=True)):
            return (
                why
                if "/" in one
                else f"{one}: a path that does not begin with / depends on where the runtime is called"
            )
    return ""


def _written(_value: str) -> str:
    return "the runtime itself, as root, writes this file of the node"


def _program(_value: str) -> str:
    return "the runtime takes a program of the node for the container's first"


def _groups(value: str) -> str:
    """``keep-groups`` (podman-run(1)) is no group: all those of who calls the runtime are kept."""
    return "the container keeps groups of the node" if "keep-groups" in map(str.strip, _each(value)) else ""


def _label(value: str) -> str:
    return "the runtime itself reads this label" if _LABELS_OF_RUNTIMES.match(value.lower()) else ""


def _of(known: Sequence[str]) -> Callable[[str], str]:
    return lambda value: "" if value in known else f"it is none of {', '.join(known)}, which are known to be harmless"


def _log_option(value: str) -> str:
    fine = all(_LOG_OPTIONS.fullmatch(one.strip()) for one in _each(value))
    return "" if fine else "what it does is not known to stay in the log"


def _volume(value: str) -> str:
    source, colon, rest = value.partition(":")
    if not colon:  # a folder of its own
        return ""
    _target, _unused, mode = rest.partition(":")
    words = set(filter(None, mode.split(",")))
    if unknown := sorted(words - _VOLUME_WORDS):
        return f"{', '.join(unknown)}: what it does is not known to be harmless"
    return exposed(source, read_only="ro" in words and "rw" not in words)


def _mount(value: str) -> str:
    """Keys are read in any case, and the last of equal ones counts; here all of them must be harmless."""
    options = [
        (name.strip().lower(), setting) for one in _fields(value) for name, _unused, setting in [one.partition("=")]
    ]
    if not options:
        return "it cannot be read"
    kinds = {setting.lower() for name, setting in options if name == "type"} or {"volume"}
    known = frozenset().union(*(_MOUNT_KEYS.get(kind, frozenset()) for kind in kinds))
    if unknown := sorted(kinds - set(_MOUNT_KEYS)):
        return f"a mount of the type {', '.join(unknown)} is not known to be harmless"
    read_only = []
    for name, setting in options:
        if name in ("readonly", "ro"):
            read_only.append(setting.lower() in _TRUE)
        elif name == "rw":
            read_only.append(setting.lower() in FALSE)
        elif name == "bind-propagation" and "shared" in setting:
            return "what is mounted in the container would be mounted on the node"
        elif name not in ("type", *_MOUNT_SOURCES, *_MOUNT_TARGETS) and name not in known:
            return f"{name}: what it gives cannot be judged"
    sources = [setting for name, setting in options if name in _MOUNT_SOURCES]
    return next((why for one in sources if (why := exposed(one, read_only=bool(read_only) and all(read_only)))), "")


_JUDGES: Mapping[str, Callable[[str], str]] = {
    "cap-add": _capability,
    "cgroupns": _namespace,
    "device": _device,
    "cidfile": _written,
    "conmon-pidfile": _written,
    "env-file": _file,
    "group-add": _groups,
    "init-binary": _program,
    "init-path": _program,
    "ipc": _of(("", "none", "private", "shareable")),
    "label": _label,
    "label-file": _file,
    "log-driver": _of(_LOG_DRIVERS),
    "log-opt": _log_option,
    "mount": _mount,
    "pid": _namespace,
    "pidfile": _written,
    "pod-id-file": _written,
    "privileged": _privileged,
    "runtime": _of(_RUNTIMES),
    "security-opt": _security,
    "storage-opt": lambda value: "" if value.startswith("size=") else "what it gives cannot be judged",
    "userns": _namespace,
    "uts": _namespace,
    "volume": _volume,
}
"""Options whose value decides. An option that is neither here nor in `HARMLESS` is refused."""
