# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rank in a container: one spec, and the same spec as words of docker, podman and nerdctl and as a compose document.

The container shares the host's network (ranks meet on the rendezvous interface by address) and the host's IPC
namespace (NCCL and torch share memory between processes; docker's own 64 MiB of /dev/shm is too small). It may lock
memory, which RDMA registration needs, and it is never privileged. Of root's capabilities it keeps those of `_capabilities`, and
nothing in it gets more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd.names import rank_container
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.quoting import compose_word, yaml_lines

IMEX_CHANNELS = "/dev/nvidia-caps-imex-channels"
STACK_BYTES = 67108864
"""64 MiB, as NVIDIA's framework containers ask for in their start message (``--ulimit stack=67108864``)."""


def spec(
    request: Request, command: Sequence[str], env: Mapping[str, str], mounts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Everything that makes up the container of one rank.

    command: the whole command line, its first word becomes the entrypoint, so that an image's own one does not matter.
    """
    cuda = request.device == "cuda"
    return {
        "runtime": request.runtime,
        "name": rank_container(request.deployment),
        "image": request.image,
        "network": "host",
        "ipc": "host",
        "ulimits": {"memlock": -1, "stack": STACK_BYTES} if cuda else {},
        "cap_drop": ["ALL"],
        "cap_add": _capabilities(request),
        "security_opt": ["no-new-privileges"],
        "devices": _devices(request) if cuda else [],
        "mounts": [_mount(mount) for mount in mounts],
        "env": dict(env),
        "entrypoint": command[0],
        "command": list(command[1:]),
    }


def _capabilities(request: Request) -> list[str]:
    """What root in an engine's image keeps.

    DAC_OVERRIDE: what is mounted, such as a cache, may belong to another user of the node. SYS_NICE: the seccomp profiles of
    docker and containerd let no other process set its own memory policy, for NUMA
    (https://github.com/moby/moby/issues/37241, https://github.com/vllm-project/vllm/pull/24017). IPC_LOCK: RDMA registers memory,
    where the runtime could not lift the limit. NET_BIND_SERVICE: a port below 1024, since the network is the node's.
    An image with a user of its own has none of them in effect (capabilities(7), "Transformation of capabilities during execve").
    """
    return [
        "DAC_OVERRIDE",
        *(["IPC_LOCK"] if request.device == "cuda" else []),
        *(["NET_BIND_SERVICE"] if request.port < 1024 else []),
        "SYS_NICE",
    ]


def _devices(request: Request) -> list[str]:
    gpus = ["all"] if request.gpus is None else [str(index) for index in request.gpus]
    return [f"nvidia.com/gpu={gpu}" for gpu in gpus] + (["/dev/infiniband"] if request.rdma else []) + _extra(request)


def _extra(request: Request) -> list[str]:
    """Devices that the node has and that no CDI name of a GPU brings: channels by which GPUs of one NVL72 rack reach each other's
    memory (IMEX User's Guide, "IMEX Channels"; nvidia-container-toolkit pkg/nvcdi/lib-imex.go passes the same device nodes), and
    GDRCopy's, where RDMA is used.
    """
    ibgda = request.hardware.get("ibgda") or {}
    channels = [f"{IMEX_CHANNELS}/{name}" for name in request.hardware.get("imex_channels") or []]
    return channels + (["/dev/gdrdrv"] if request.rdma and ibgda.get("gdrdrv") else [])


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    source = str(mount["source"])
    return {
        "source": source,
        "target": str(mount.get("target") or source),
        "read_only": bool(mount.get("read_only", False)),
    }


def covers(mounts: Sequence[Mapping[str, Any]], path: str) -> bool:
    """Whether a path inside the container lies under one of the mounts."""
    targets = [str(mount.get("target") or mount["source"]).rstrip("/") for mount in mounts]
    return any(path == target or path.startswith(target + "/") for target in targets)


def run_words(container: Mapping[str, Any], extra: Sequence[str]) -> list[str]:
    """What follows ``docker``, ``podman`` or ``nerdctl``, which take the same words: run in the foreground, removed
    when it ends; systemd keeps it running, the journal keeps its log.

    extra: further words for the runtime, before the image.
    """
    words = ["run", "--rm", "--name", container["name"], *settings(container, extra)]
    return [*words, "--entrypoint", container["entrypoint"], container["image"], *container["command"]]


def settings(container: Mapping[str, Any], extra: Sequence[str]) -> list[str]:
    """What every container of the rank is run with, whatever its name and command."""
    words = ["--network", container["network"], "--ipc", container["ipc"]]
    for name, limit in container["ulimits"].items():
        words += ["--ulimit", f"{name}={limit}:{limit}"]
    words += [word for cap in container["cap_drop"] for word in ("--cap-drop", cap)]
    words += [word for cap in container["cap_add"] for word in ("--cap-add", cap)]
    words += [word for option in container["security_opt"] for word in ("--security-opt", option)]
    words += [word for device in container["devices"] for word in ("--device", device)]
    words += [word for name, value in container["env"].items() for word in ("--env", f"{name}={value}")]
    words += [word for mount in container["mounts"] for word in ("--volume", _volume(mount))]
    return [*words, *extra]


def _volume(mount: Mapping[str, Any]) -> str:
    return f"{mount['source']}:{mount['target']}" + (":ro" if mount["read_only"] else "")


def compose(deployment: str, container: Mapping[str, Any]) -> str:
    """The same container as a compose document, for people who keep theirs that way."""
    service: dict[str, Any] = {
        "image": container["image"],
        "container_name": container["name"],
        "network_mode": container["network"],
        "ipc": container["ipc"],
        "ulimits": {name: {"soft": limit, "hard": limit} for name, limit in container["ulimits"].items()},
        "cap_drop": container["cap_drop"],
        "cap_add": container["cap_add"],
        "security_opt": container["security_opt"],
        "devices": container["devices"],
        "environment": {name: compose_word(value) for name, value in container["env"].items()},
        "volumes": [compose_word(_volume(mount)) for mount in container["mounts"]],
        "entrypoint": [compose_word(container["entrypoint"])],
        "command": [compose_word(word) for word in container["command"]],
        "restart": "unless-stopped",
    }
    used = {key: value for key, value in service.items() if value}
    document: dict[str, Any] = {"services": {deployment: used}}
    if volumes := [mount["source"] for mount in container["mounts"] if "/" not in mount["source"]]:
        document["volumes"] = {name: {"name": name} for name in volumes}
    return "\n".join(yaml_lines(document)) + "\n"
