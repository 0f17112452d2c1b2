# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rdma_bandwidth, with a program that stands in for ib_write_bw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import rdma_bandwidth
from module_runner import call, calls, only_programs, program

# a server gets no peer and prints nothing; a client prints perftest's table
TABLE = """case "$*" in *192.0.2.2) cat <<'ROWS'
 #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]
 1048576    116812           0.00               {gbps}             0.023
ROWS
esac"""


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PATH", only_programs(tmp_path))

    def measured(script: str, **args: Any) -> dict[str, Any]:
        program(tmp_path, "ib_write_bw", script)
        ports = [{"device": "mlx5_0", "port": 1, "gbps": 200}]
        return call(rdma_bandwidth, ports=ports, peer="192.0.2.2", peer_ports=1, seconds=1, timeout=5, **args)

    return measured


def test_the_rate_that_a_port_reaches(measure: Any, tmp_path: Path) -> None:
    result = measure(TABLE.format(gbps="196.30"))
    assert (result["changed"], result["gbps"]) == (False, {"mlx5_0:1": 196.3})
    assert sorted("192.0.2.2" in line for line in calls(tmp_path)) == [False, True], "one server, one client"


def test_a_slow_port_fails_and_is_named_with_its_rate(measure: Any) -> None:
    result = measure(TABLE.format(gbps="90.00"))
    assert result["failed"] and result["gbps"] == {"mlx5_0:1": 90.0}
    assert "mlx5_0:1 to 192.0.2.2: 90.0 Gbit/s, less than 80% of its rate of 200" in result["msg"]
    assert not measure(TABLE.format(gbps="90.00"), min_share=0.4).get("failed")


def test_a_program_without_a_result_is_quoted(measure: Any) -> None:
    result = measure("echo; echo 'Failed to modify QP to RTR'")
    assert result["failed"] and "no result: Failed to modify QP to RTR" in result["msg"]


def test_check_mode_measures_nothing(measure: Any, tmp_path: Path) -> None:
    result = measure("", check_mode=True)
    assert (result["changed"], result["gbps"]) == (False, {})
    assert calls(tmp_path) == []


def test_perftest_must_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = call(rdma_bandwidth, ports=[], peer="192.0.2.2", peer_ports=0)
    assert result["failed"] and "ib_write_bw" in result["msg"]
