# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of ``docker run`` (and podman, nerdctl): what becomes a variable, what is not needed, what follows the image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.docker import run_options
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.container_args import RULES
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import CONTAINER_RUNTIMES

_DONE = {
    "network": "the container has the node's network",
    "net": "the container has the node's network",
    "ipc": "the container has the node's IPC namespace",
    "name": "the container is named after its deployment",
    "rm": "systemd starts a fresh container each time",
    "restart": "supervisors restart the group",
    "detach": "systemd keeps the container",
    "runtime": "GPUs come as CDI devices",
    "ulimit": "memory may be locked without limit, and the stack has 64 MiB",
    "env-file": "write its variables into engine_env",
    "cap-add": "the container has the capabilities that engines need",
    "entrypoint": "the engine's own command is the entrypoint",
    "pull": "engine_image is pulled before the start",
    "quiet": "the journal has the output",
    "init": "systemd is the parent of the container",
}
_PASSED = ("/dev/infiniband", "/dev/nvidia", "nvidia.com/", "/dev/gdrdrv")


@dataclass
class Container:
    """What was read of a command."""

    image: str
    command: list[str]
    runtime: str = "docker"
    env: dict[str, str] = field(default_factory=dict)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    gpus: list[int] | None = None
    further: list[str] = field(default_factory=list)
    """Words for the runtime that stay."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """Words with the reason why nothing takes their place."""


def read(words: Sequence[str]) -> Container | None:
    """The container of a command line; None where there is none."""
    for place, word in enumerate(words[:-1]):
        runtime = word.rpartition("/")[2]
        if runtime in CONTAINER_RUNTIMES and "run" in words[place + 1 : place + 3]:
            return _run(words[words.index("run", place) + 1 :], runtime)
    return None


def engine_of_image(image: str) -> tuple[str, str]:
    """Engine and version of a published image, by its name and tag; empty where they are not known.

    >>> engine_of_image("vllm/vllm-openai:v0.11.0")
    ('vllm', '0.11.0')
    >>> engine_of_image("lmsysorg/sglang:v0.5.5.post3-cu130")
    ('sglang', '0.5.5.post3')
    >>> engine_of_image("lmsysorg/sglang:latest")
    ('sglang', '')
    """
    name = image.partition("@")[0].lower()
    tag = name.rpartition("/")[2].partition(":")[2]
    engine = next((engine for engine in ("sglang", "vllm", "lmdeploy") if engine in name), "")
    version = re.match(r"v?(\d+\.\d+\.\d+(?:\.?post\d+)?(?:rc\d+)?)", tag)
    return engine, version[1] if version else ""


def _run(words: Sequence[str], runtime: str) -> Container:
    options, rest = run_options.split(words)
    found = Container(rest[0] if rest else "", list(rest[1:]), runtime)
    for one in options:
        value = one.value or ""
        written = f"--{one.name} {value}".strip()
        if one.off:
            continue
        if one.name == "env":
            name, joined, text = value.partition("=")
            found.env[name] = text if joined else f"${name}"
        elif one.name in ("volume", "mount"):
            found.mounts += _mount(one.name, value)
        elif one.name == "gpus":
            found.gpus = _gpus(value)
            found.dropped.append((written, "GPUs come as CDI devices; engine_gpus names some of them"))
        elif one.name == "device" and value.startswith(_PASSED):
            found.dropped.append((written, "what the node has of these devices is passed by itself"))
        elif one.known and (one.name in _DONE or one.name in RULES):
            if one.name == "entrypoint":
                found.command = [value, *found.command]
            found.dropped.append((written, _DONE.get(one.name) or RULES[one.name].message))
        else:
            found.further += one.words
    return found


def _mount(name: str, value: str) -> list[dict[str, Any]]:
    if name == "mount":
        parts = dict(part.partition("=")[::2] for part in value.split(","))
        source, target = parts.get("source") or parts.get("src") or "", parts.get("target") or parts.get("dst") or ""
        read_only = bool({"readonly", "ro"} & set(parts))
    else:
        source, _colon, rest = value.partition(":")
        target, _colon, modes = rest.partition(":")
        read_only = "ro" in modes.split(",")
    if not source or source == "/dev/shm":
        return []
    mount: dict[str, Any] = {"source": source}
    mount |= {"target": target} if target and target != source else {}
    return [mount | ({"read_only": True} if read_only else {})]


def _gpus(value: str) -> list[int] | None:
    """``"device=0,1"`` names GPUs; ``all`` and a count do not."""
    numbers = re.search(r"device=([\d,]+)", value)
    return [int(number) for number in numbers[1].split(",") if number] if numbers else None
