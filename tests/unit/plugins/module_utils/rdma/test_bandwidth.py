# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ports reach against their rates, and the processes at both ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import bandwidth
from places import DATA

DATA = DATA / "rdma"


def test_ports_below_their_share_are_named() -> None:
    ports = [{"device": f"mlx5_{n}", "port": 1, "gbps": 0.5} for n in range(3)]
    slow = (DATA / "ib_write_bw-sizes-gbits.txt").read_text()
    good = (DATA / "ib_write_bw-one-gbits.txt").read_text()
    reached, wrong = bandwidth.judge(ports, [good, slow, "Couldn't connect\n"], 0.8, "10.0.0.2")
    assert reached == {"mlx5_0:1": 0.48, "mlx5_1:1": 0.17}
    assert wrong == [
        "mlx5_1:1 to 10.0.0.2: 0.2 Gbit/s, less than 80% of its rate of 0.5",
        "mlx5_2:1 to 10.0.0.2: no result: Couldn't connect",
    ]


def test_a_ring_of_one_measures_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that prints the recorded table in the place of ib_write_bw: servers end, clients are tried again until then."""
    tool = tmp_path / "ib_write_bw"
    table = DATA / "ib_write_bw-one-gbits.txt"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *10.0.0.2) [ -e {tmp_path}/up ] || {{ touch {tmp_path}/up; exit 1; }}; cat {table};; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ports = [{"device": "mlx5_0", "port": 1, "gbps": 0.5}]
    params = {
        "ports": ports,
        "peer": "10.0.0.2",
        "peer_ports": 1,
        "tcp_port": 1,
        "seconds": 1,
        "timeout": 30,
        "min_share": 0.8,
    }
    assert bandwidth.measure(params) == ({"mlx5_0:1": 0.48}, [])
