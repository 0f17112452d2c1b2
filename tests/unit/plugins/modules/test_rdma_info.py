# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rdma_info over recorded nodes: it returns what is there, sets nothing, never fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.modules import rdma_info
from module_runner import call


@pytest.mark.parametrize("check_mode", [False, True])
def test_devices_of_a_recorded_node(tmp_path: Path, check_mode: bool) -> None:
    result = call(rdma_info, root=str(recorded.unpack("a100-roce", tmp_path)), check_mode=check_mode)
    assert result["changed"] is False and "ansible_facts" not in result
    ports = [port for hca in result["hcas"] for port in hca["ports"]]
    assert ports and {port["link_layer"] for port in ports} == {"Ethernet"}
    assert any(one["kind"] == "bond" for one in result["netdevs"])


def test_a_node_without_devices(tmp_path: Path) -> None:
    result = call(rdma_info, root=str(tmp_path))
    assert "failed" not in result and result["hcas"] == [] and result["netdevs"] == []


def test_unknown_options_are_refused() -> None:
    assert "timeout" in call(rdma_info, timeout=1)["msg"]
