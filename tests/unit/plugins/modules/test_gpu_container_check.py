# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module gpu_container_check, with programs that stand in for nvidia-smi, docker and systemctl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import gpu_container_check
from module_runner import call, calls, only_programs, program

GPUS = ["GPU 0: NVIDIA H100 (UUID: GPU-0)", "GPU 1: NVIDIA H100 (UUID: GPU-1)"]
IMAGE = {"image": "docker.io/library/ubuntu:24.04"}


class Node:
    """Containers see what is in the files ``own`` and ``r1``; without the file they lost their GPUs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listing = "\n".join(GPUS)
        program(folder, "nvidia-smi", f"cat <<'L'\n{listing}\nL")
        program(folder, "systemctl", f"[ -e {folder}/legacy ] && rm -f {folder}/own; exit 0")
        (folder / "own").write_text(listing)

    def runs(self, **container: Any) -> None:
        """A container r1 that was given GPUs by CDI."""
        devices = [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]
        one = {"Name": "/r1", "Config": {}, "HostConfig": {"DeviceRequests": devices}, **container}
        (self.folder / "containers").write_text(json.dumps([one]))

    def docker(self, start: str = "exit 0") -> None:
        program(
            self.folder,
            "docker",
            f"""cd {self.folder}
case "$1 $2" in
"ps -q") [ -e containers ] && echo 1;;
"inspect 1") cat containers;;
"exec r1") cat r1 2>/dev/null || {{ echo "Failed to initialize NVML: Unknown Error"; exit 255; }};;
"exec fullrank-gpu-check") cat own 2>/dev/null || {{ echo "Failed to initialize NVML: Unknown Error"; exit 255; }};;
"run -d") {start};;
esac
exit 0""",
        )


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    one = Node(tmp_path)
    one.docker()
    return one


def test_a_container_that_sees_all_gpus(node: Node) -> None:
    result = call(gpu_container_check, **IMAGE)
    assert (result["changed"], result["gpus"], result["running"]) == (False, GPUS, {})
    assert calls(node.folder)[-2:] == ["docker rm -f fullrank-gpu-check", "docker ps -q"], "nothing stays"


def test_a_container_that_sees_fewer_is_an_error(node: Node) -> None:
    (node.folder / "own").write_text(GPUS[0])
    result = call(gpu_container_check, **IMAGE)
    assert result["failed"] and "sees 1 of 2 GPUs" in result["msg"]


def test_the_legacy_hook_loses_gpus_at_a_reload(node: Node) -> None:
    assert not call(gpu_container_check, reload=True, **IMAGE).get("failed")
    (node.folder / "legacy").touch()
    result = call(gpu_container_check, reload=True, **IMAGE)
    assert result["failed"] and "after systemd was reloaded, sees 0 of 2 GPUs" in result["msg"]
    assert "set the toolkit's mode to cdi" in result["msg"]


def test_running_containers_that_lost_their_gpus_are_named(node: Node) -> None:
    node.runs()
    result = call(gpu_container_check)
    assert result["failed"] and "container r1 lost its GPUs" in result["msg"] and result["running"] == {"r1": 0}
    (node.folder / "r1").write_text(GPUS[0])
    assert call(gpu_container_check)["running"] == {"r1": 1}, "it may have been given one only"


def test_containers_without_gpus_are_not_asked(node: Node) -> None:
    node.runs(HostConfig={"DeviceRequests": None})
    assert call(gpu_container_check)["running"] == {}
    assert not [line for line in calls(node.folder) if "exec" in line]


def test_check_mode_starts_no_container(node: Node) -> None:
    node.runs()
    (node.folder / "r1").write_text("\n".join(GPUS))
    assert call(gpu_container_check, check_mode=True, **IMAGE)["running"] == {"r1": 2}
    assert not [line for line in calls(node.folder) if line.startswith("docker run")]


def test_a_container_that_cannot_be_started_is_an_error_with_a_remedy(node: Node) -> None:
    node.docker(start="echo 'unresolvable CDI devices nvidia.com/gpu=all' >&2; exit 125")
    result = call(gpu_container_check, **IMAGE)
    assert result["failed"] and "unresolvable CDI devices" in result["msg"] and "journalctl -u docker" in result["msg"]
