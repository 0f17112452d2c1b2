# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Further words that the user gives a container runtime: which of them cannot be, and which would do nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.docker import confinement, run_options
from ansible_collections.fullrank.serving.plugins.module_utils.docker.run_options import Option
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request


@dataclass(frozen=True)
class Rule:
    """The finding about a word; ``drop`` leaves it out with a warning, otherwise it is refused."""

    code: str
    message: str
    remedy: str
    drop: bool = True


OWN = Rule("container-arg-owned", "is written by the launch itself", "leave it out", drop=False)
RULES = {
    "privileged": Rule(
        "privileged",
        "--privileged gives the container the whole machine and is left out",
        "GPUs come as CDI devices, RDMA as /dev/infiniband with IPC_LOCK and unlimited memlock",
    ),
    "publish": Rule(
        "publish-with-host-network",
        "a published port is discarded with host networking and is left out",
        "the engine listens on the host's own port",
    ),
    "publish-all": Rule(
        "publish-with-host-network",
        "published ports are discarded with host networking and --publish-all is left out",
        "the engine listens on the host's own port",
    ),
    "shm-size": Rule(
        "shm-size-with-host-ipc", "--shm-size has no effect with host IPC and is left out", "nothing takes its place"
    ),
    "gpus": Rule("gpus-flag", "--gpus is left out: GPUs are passed as CDI devices", "set the GPUs of the engine"),
    "pid": Rule("host-pid", "--pid lets the container see every process and is left out", "nothing needs it"),
    "tty": Rule("no-terminal", "a service has no terminal: --tty is left out", "nothing takes its place"),
    "interactive": Rule("no-terminal", "a service has no input: --interactive is left out", "nothing takes its place"),
    "detach": Rule("detached", "a detached container hides its end from systemd", "leave it out", drop=False),
    "restart": Rule("restart-twice", "systemd restarts the rank, not the runtime", "leave it out", drop=False),
    "entrypoint": OWN,
    "name": OWN,
    "network": OWN,
    "net": OWN,
    "ipc": OWN,
    "rm": OWN,
}
NEEDED = "GPUs come as CDI devices, RDMA as /dev/infiniband with IPC_LOCK and unlimited memlock: engines need no more"


def check(request: Request) -> tuple[list[str], list[Finding]]:
    """The words that remain, and the findings about the others."""
    remaining: list[Option] = []
    findings: list[Finding] = []
    where = request.variable("container_args")
    for one in run_options.parse([str(word) for word in request.container_args]):
        rule = RULES.get(one.name) if one.known else None
        if rule is None:
            remaining.append(one)
            continue
        level = warned if rule.drop else failed
        message = rule.message if rule is not OWN else f"--{one.name} {rule.message}"
        findings.append(level(rule.code, where, message, rule.remedy))
    return [word for one in remaining for word in one.words], findings + _confinement(request, remaining)


def _confinement(request: Request, remaining: list[Option]) -> list[Finding]:
    """What of the remaining words and the mounts gives the container the node."""
    model = request.model or ""
    mounts = [*request.mounts, *([{"source": model, "read_only": True}] if model.startswith("/") else [])]
    if not request.is_container:
        return []
    variable = request.variable("container_unconfined")
    if request.container_unconfined:
        level, remedy = warned, "leave it out as soon as you can"
    else:
        level, remedy = failed, f"leave it out: {NEEDED}. {variable}: true takes it as it is"
    parts: dict[str, tuple[list[Option], list[Mapping[str, Any]]]] = {
        "container_args": (remaining, []),
        "mounts": ([], mounts),
    }
    return [
        level("container-unconfined", request.variable(name), why, remedy)
        for name, (options, mounted) in parts.items()
        for why in confinement.beyond_options(options, mounted, request.runtime)
    ]
