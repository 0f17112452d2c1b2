# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which words for a container runtime, and which mounts, give a container the node. Pure; private to this collection.

What is known to be harmless passes; of capabilities, devices and namespaces everything else does not. Sources: docker-run(1),
capabilities(7), the list of options of `docker run` (docs.docker.com/reference/cli/docker/container/run). A link on the node that
leads to a protected path is not seen: only its name is known here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

HARMLESS_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID IPC_LOCK KILL NET_BIND_SERVICE SETGID SETPCAP SETUID SYS_CHROOT SYS_NICE "
    "SYS_PTRACE SYS_RESOURCE".split()
)
"""They reach no further than the container's own processes and what is mounted into it."""
HARMLESS_DEVICES = ("/dev/infiniband", "/dev/nvidia", "/dev/gdrdrv", "/dev/dri", "/dev/kfd", "/dev/fuse", "/dev/shm")
"""Beside CDI names (``nvidia.com/gpu=all``), which are no paths."""
_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock")
_TREES = (
    *("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run", "/root/.ssh", "/root/.docker", "/root/.kube"),
    *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet"),
)
"""Mounted with everything below they give away the node, or its keys; so does what they lie in."""
_PROGRAMS = ("/bin", "/lib", "/lib32", "/lib64", "/sbin", "/usr")
"""Only where they can be written to."""
_ONLY_ALL = ("/home", "/opt", "/root", "/var/lib")
"""As a whole; what lies below may be mounted."""
_READABLE = tuple(
    f"/etc/{name}"
    for name in "ca-certificates group hosts libibverbs.d localtime nccl.conf nsswitch.conf passwd pki/ca-trust pki/tls/certs "
    "resolv.conf ssl/certs timezone".split()
)
"""Below a protected tree, and harmless where the container can only read it."""
_USABLE = ("/dev/hugepages", "/dev/infiniband", "/dev/shm", "/run/nvidia-persistenced", "/var/run/nvidia-topologyd")
_SHORT_WITH_VALUE = re.compile(r"-([Pditq]*)v(.*)", re.DOTALL)
_VALUED = (
    *("--cap-add", "--cgroupns", "--device", "--device-cgroup-rule", "--mount", "--pid", "--rootfs", "--security-opt"),
    *("--userns", "--uts", "--volume", "--volumes-from"),
)


def beyond(words: Sequence[str], mounts: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """What gives the node away, in words; empty when nothing does.

    words: options for ``run`` as the user wrote them. mounts: source and read_only of each.
    """
    found = [why for flag, value in _options(words) if (why := _judge(flag, value))]
    found += [
        why for one in mounts if (why := exposed(str(one["source"]), read_only=bool(one.get("read_only", False))))
    ]
    return list(dict.fromkeys(found))


def exposed(source: str, *, read_only: bool) -> str:
    """Why a path of the node must not be mounted; empty when it may, and for the name of a volume."""
    if ":" in source:
        return f"{source}: a colon would end the path"
    if "/" not in source and source not in (".", ".."):
        return ""
    if not source.startswith("/"):
        return f"{source}: a path that does not begin with / depends on where the runtime is called"
    path = "/" + posixpath.normpath(source).lstrip("/")
    usable = any(_within(path, one) for one in _USABLE) or (read_only and any(_within(path, one) for one in _READABLE))
    why = "" if usable else _protected(path, read_only)
    return f"{path}: {why}" if why else ""


def _protected(path: str, read_only: bool) -> str:
    """Why a path is protected. A folder in which a protected one lies is, too."""
    if posixpath.basename(path) in _SOCKETS:
        return "who reaches the socket of a container runtime is root on the node"
    if any(_within(path, one) or _within(one, path) for one in _TREES):
        return "it gives away the node's configuration, devices, processes or keys"
    if path in _ONLY_ALL:
        return "mount what is needed of it"
    if not read_only and any(_within(path, one) or _within(one, path) for one in _PROGRAMS):
        return "programs of the node, which the container could replace; mount it read-only"
    return ""


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and their values, in each of the spellings that docker, podman and nerdctl take."""
    waiting = iter(words)
    for word in waiting:
        short = _SHORT_WITH_VALUE.fullmatch(word)
        if short and not word.startswith("--"):
            yield "--volume", short[2].removeprefix("=") or next(waiting, "")
            continue
        flag, joined, value = word.partition("=")
        if flag in _VALUED and not joined:
            value = next(waiting, "")
        yield flag, value


def _judge(flag: str, value: str) -> str:
    spelled = f"{flag} {value}".strip()
    if flag == "--privileged":
        return "" if value.lower() in ("false", "0", "f") else f"{spelled}: it gives the container the whole node"
    if flag == "--cap-add":
        names = {one.strip().upper().removeprefix("CAP_") for one in value.split(",")}
        beyond_own = sorted(names - HARMLESS_CAPABILITIES)
        return f"{spelled}: {', '.join(beyond_own)} reaches beyond the container" if beyond_own else ""
    if flag == "--security-opt":
        return _security(spelled, value)
    if flag == "--device":
        path = posixpath.normpath(value.partition(":")[0])
        fine = not path.startswith("/") or any(path.startswith(one) for one in HARMLESS_DEVICES)
        return "" if fine else f"{spelled}: a device of the node"
    if flag in ("--pid", "--userns", "--uts", "--cgroupns") and value != "private":
        return f"{spelled}: it shares a namespace with the node or with another container"
    if flag in ("--device-cgroup-rule", "--volumes-from", "--rootfs"):
        return f"{spelled}: what it gives cannot be judged"
    if flag == "--volume":
        return _volume(spelled, value)
    return _mount(spelled, value) if flag == "--mount" else ""


def _security(spelled: str, value: str) -> str:
    name, _unused, setting = value.replace(":", "=", 1).partition("=")
    open_to_all = {
        "seccomp": setting == "unconfined",
        "apparmor": setting == "unconfined",
        "systempaths": setting == "unconfined",
        "unmask": True,
        "label": setting == "disable",
        "no-new-privileges": setting.lower() in ("false", "0", "f"),
        "writable-cgroups": setting.lower() not in ("false", "0", "f"),
    }
    return f"{spelled}: it takes away what confines the container" if open_to_all.get(name, False) else ""


def _volume(spelled: str, value: str) -> str:
    source, _unused, rest = value.partition(":")
    if not rest:  # a folder of its own
        return ""
    read_only = "ro" in rest.rpartition(":")[2].split(",")
    why = exposed(source, read_only=read_only)
    return f"{spelled}: {why}" if why else ""


def _mount(spelled: str, value: str) -> str:
    options: dict[str, str] = {}
    for word in value.replace('"', "").split(","):
        name, _unused, setting = word.partition("=")
        if name == "volume-opt" and setting.startswith("device="):
            name, setting = "source", setting.removeprefix("device=")
        options[{"src": "source", "ro": "readonly"}.get(name.strip(), name.strip())] = setting
    read_only = "readonly" in options and options["readonly"].lower() not in ("false", "0", "f")
    why = exposed(options.get("source", ""), read_only=read_only) if options.get("source") else ""
    return f"{spelled}: {why}" if why else ""
