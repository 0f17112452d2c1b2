# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module gpu_info over recorded and built nodes: it returns what is there, sets nothing, never fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.modules import gpu_info
from module_runner import call, only_programs, program, run_module

QUERY = "nvidia-smi -q -x"


def test_gpus_of_a_recorded_node(tmp_path: Path) -> None:
    recorded.unpack("a100-roce", tmp_path)
    recorded.command(tmp_path, QUERY, recorded.nvidia_smi_xml("a100", ["0000:07:00.0", "0000:0a:00.0"]))
    result = call(gpu_info, root=str(tmp_path))
    assert result["changed"] is False and "ansible_facts" not in result
    assert [(gpu["name"], gpu["memory_total_mib"]) for gpu in result["gpus"]] == [("NVIDIA A100-SXM4-80GB", 81920)] * 2
    assert (result["driver_version"], result["cuda_version"]) == ("570.86.15", "12.8")
    assert result["nvidia_smi"] == {"found": True, "rc": 0, "message": ""}


def test_check_mode_reads_the_same(tmp_path: Path) -> None:
    recorded.command(tmp_path, QUERY, recorded.nvidia_smi_xml("h100", ["0000:07:00.0"]))
    assert call(gpu_info, root=str(tmp_path), check_mode=True) == call(gpu_info, root=str(tmp_path))


def test_a_node_without_nvidia_smi_has_no_gpus(tmp_path: Path) -> None:
    result = call(gpu_info, root=str(tmp_path))
    assert "failed" not in result and result["gpus"] == [] and result["driver_version"] is None
    assert result["nvidia_smi"]["found"] is False and result["nvidia_smi"]["rc"] is None


def test_an_nvidia_smi_that_hangs_is_ended_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "nvidia-smi", "exec sleep 60")
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    result = call(gpu_info, timeout=1)
    assert (
        result["gpus"] == [] and result["nvidia_smi"]["rc"] == 124 and "within 1 s" in result["nvidia_smi"]["message"]
    )


def test_the_module_runs_the_nvidia_smi_of_the_path(tmp_path: Path) -> None:
    """Live, with a stand-in that prints a recording: what the module does on a node."""
    stand_in = tmp_path / "nvidia-smi"
    stand_in.write_text(
        f'#!/bin/sh\n[ "$1" = -q ] && exec cat "{recorded.DATA}/nvidia_smi/rtx-pro-6000-v13.xml"\nexit 0\n'
    )
    stand_in.chmod(0o755)
    done = run_module("gpu_info", {"_ansible_check_mode": True}, path=str(tmp_path))
    assert done["changed"] is False
    assert done["driver_version"] == "590.44.01"
    assert done["gpus"][0]["compute_capability"] == "12.0"
