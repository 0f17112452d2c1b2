#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_container_check
short_description: Whether containers see the GPUs of the node
version_added: 0.1.0
description:
  - Compares C(nvidia-smi -L) on the node with its output in a container that gets all GPUs by CDI, and in every running
    container that was given GPUs. A container that lost them prints C(Failed to initialize NVML) until it is restarted.
  - With O(reload) it reloads systemd while its own container runs, and compares again. With the toolkit's legacy hook that is
    when containers lose their GPUs; with CDI they keep them.
options:
  runtime:
    description: What runs the containers.
    type: str
    choices: [docker, podman, nerdctl]
    default: docker
  image:
    description: An image with a shell for the own container. Empty starts none and checks the running ones only.
    type: str
    default: ""
  device:
    description: The CDI device.
    type: str
    default: nvidia.com/gpu=all
  reload:
    description: Run C(systemctl daemon-reload) between two comparisons.
    type: bool
    default: false
  timeout:
    description: Seconds for each command; pulling the image is one.
    type: int
    default: 600
attributes:
  check_mode:
    description: Starts no container, and checks the running ones.
    support: full
  diff_mode:
    description: Leaves nothing behind, so there is nothing to show.
    support: none
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: See that containers see the GPUs
  fullrank.serving.gpu_container_check:
    image: docker.io/library/ubuntu:24.04
"""

RETURN = r"""
gpus:
  description: The GPUs of the node, as C(nvidia-smi -L) lists them.
  returned: always
  type: list
  elements: str
running:
  description: Running containers that were given GPUs, and the number that they see.
  returned: always
  type: dict
  sample: {deepseek-r1: 8}
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import CommandResult, Host

NAME = "fullrank-gpu-check"
LOOK = "look at nvidia-ctk cdi list and /var/run/cdi/nvidia.yaml"
# the CDI library of docker 26 panics where it gets no inotify instance, and docker run then waits for ever
SILENT = {
    "docker": "look at journalctl -u docker; if it panics in cdi, raise the sysctl fs.inotify.max_user_instances and restart it"
}


def listed(result: CommandResult | None) -> list[str]:
    """The lines of ``nvidia-smi -L``: ``GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-...)``."""
    lines = result.stdout.splitlines() if result and result.rc == 0 else []
    return [line for line in lines if line.startswith("GPU ")]


def was_given_gpus(container: dict[str, Any]) -> bool:
    """Whether ``inspect`` shows GPUs: docker's by CDI or --gpus (DeviceRequests) or by the legacy variable, podman's by the
    command line that it keeps. nerdctl's shows nothing."""
    if any("nvidia.com/gpu" in word for word in container.get("Config", {}).get("CreateCommand") or []):
        return True
    requests = container["HostConfig"].get("DeviceRequests") or []
    by_request = any(
        request.get("Driver") in ("", "nvidia", "cdi")
        and (
            any("gpu" in capability for capability in request.get("Capabilities") or [])
            or any(device.startswith("nvidia.com/") for device in request.get("DeviceIDs") or [])
        )
        for request in requests
    )
    legacy = container["HostConfig"].get("Runtime") == "nvidia"
    return by_request or legacy


class Check:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.host = Host("/", self.params["timeout"])
        self.runtime: str = self.params["runtime"]
        self.gpus = listed(self.host.run("nvidia-smi", "-L"))
        self.problems: list[str] = []

    def call(self, *words: str) -> CommandResult:
        result = self.host.run(self.runtime, *words)
        return result or CommandResult(127, "", f"{self.runtime} is not installed")

    def expect(self, where: str, result: CommandResult, remedy: str) -> int:
        """Compare what a container sees with the node; returns the number."""
        found = listed(result)
        if found != self.gpus:
            output = f" ({result.message})" if result.rc else ""
            self.problems.append(f"{where} sees {len(found)} of {len(self.gpus)} GPUs{output}; {remedy}")
        return len(found)

    def own(self) -> None:
        """A container of our own, and the comparison in it, before and after a reload of systemd."""
        self.call("rm", "-f", NAME)
        words = ["run", "-d", "--name", NAME, "--network", "none", "--device", self.params["device"]]
        started = self.call(*words, self.params["image"], "sleep", str(self.params["timeout"]))
        if started.rc:
            message = started.stderr.strip() or started.message
            self.module.fail_json(
                msg=f"no container with {self.params['device']} can be started: {message}; {SILENT.get(self.runtime, LOOK)}"
            )
        try:
            remedy = "look at nvidia-ctk cdi list and /var/run/cdi/nvidia.yaml"
            self.expect(
                f"a container with {self.params['device']}", self.call("exec", NAME, "nvidia-smi", "-L"), remedy
            )
            if self.params["reload"]:
                self.host.run("systemctl", "daemon-reload")
                remedy = "set the toolkit's mode to cdi: the legacy hook loses devices when systemd is reloaded"
                self.expect(
                    "a container, after systemd was reloaded,", self.call("exec", NAME, "nvidia-smi", "-L"), remedy
                )
        finally:
            self.call("rm", "-f", NAME)

    def running(self) -> dict[str, int]:
        """Every running container that was given GPUs. Containers may have been given some of them only."""
        ids = self.call("ps", "-q").stdout.split()
        if not ids:
            return {}
        found = {}
        for container in json.loads(self.call("inspect", *ids).stdout or "[]"):
            if not was_given_gpus(container):
                continue
            name = container["Name"].lstrip("/")
            answer = self.call("exec", name, "nvidia-smi", "-L")
            found[name] = len(listed(answer))
            if answer.rc:
                self.problems.append(f"container {name} lost its GPUs ({answer.message}); restart it")
        return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "runtime": {"type": "str", "choices": ["docker", "podman", "nerdctl"], "default": "docker"},
            "image": {"type": "str", "default": ""},
            "device": {"type": "str", "default": "nvidia.com/gpu=all"},
            "reload": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    check = Check(module)
    if module.params["image"] and not module.check_mode:
        check.own()
    running = check.running()
    if check.problems:
        module.fail_json(msg="\n".join(check.problems), gpus=check.gpus, running=running)
    module.exit_json(changed=False, gpus=check.gpus, running=running)


if __name__ == "__main__":
    main()
