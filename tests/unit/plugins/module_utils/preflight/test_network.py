# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the network (ports, interfaces, peers): what is no fault."""

from __future__ import annotations

from pathlib import Path

import preflight_node as node
import pytest
import recorded
from preflight_node import PEER, PING


@pytest.mark.parametrize(
    ("cgroup", "own"),
    [
        ("0::/system.slice/fullrank-rank@r1.service", ["fullrank-rank-r1"]),
        ("0::/system.slice/fullrank-rank@r1.service", ["fullrank-rank@r1.service"]),
        (f"0::/system.slice/docker-{node.CONTAINER}.scope", ["fullrank-rank-r1"]),
        (f"5:pids:/x\\n1:name=systemd:/docker/{node.CONTAINER}", ["fullrank-rank-r1"]),
        ("0::/system.slice/fullrank-rank@r1.service", []),  # by the deployment's name alone
        (f"0::/system.slice/docker-{node.CONTAINER}.scope", []),
    ],
)
def test_what_our_own_engine_holds_is_no_fault(cgroup: str, own: list[str], root: Path) -> None:
    recorded.command(
        root,
        "docker ps --no-trunc --format {{.ID}} {{.Names}}",
        f"{'0' * 64} other\n{node.CONTAINER} fullrank-rank-r1\n",
    )
    node.listen(root, 8000)
    node.process(root, 77, "vllm", cgroup, inode=4242)
    node.gpus(root, used_mib=70000, processes=((77, "vllm", 69000),))
    answer = node.ask(root, own=own)
    assert node.trouble(answer) == []
    assert any("held by our own vllm" in check["message"] for check in answer["checks"])


def test_a_container_without_its_runtime_goes_by_its_id(root: Path) -> None:
    node.listen(root, 8000)
    node.process(root, 77, "nginx", f"0::/system.slice/docker-{node.CONTAINER}.scope", inode=4242)
    (port,) = [check for check in node.ask(root)["checks"] if check["where"] == "port 8000"]
    assert f"container {node.CONTAINER[:12]}" in port["message"]


def test_a_listener_on_loopback_is_no_obstacle(root: Path) -> None:
    node.listen(root, 8000, address="0100007F")
    assert node.trouble(node.ask(root)) == []


def test_a_reserved_port_is_not_given_to_clients(root: Path) -> None:
    recorded.write(root, "proc/sys/net/ipv4/ip_local_reserved_ports", "39000,40000-40010")
    assert node.trouble(node.ask(root, ports=[{"port": 40005, "purpose": "rendezvous"}])) == []


def test_what_pings_are_filtered_for_is_not_judged(root: Path) -> None:
    recorded.command(root, f"{PING} -s 56 {PEER}", "", rc=1)
    recorded.command(root, f"{PING} -M do -s 1472 {PEER}", "", rc=1)
    assert node.trouble(node.ask(root)) == []
