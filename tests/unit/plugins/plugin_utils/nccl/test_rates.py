# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kind of ports is the fabric."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.rates import (
    best_kind,
    fills_evenly,
    near_gpus,
    onboard,
)
from nccl_machines import machine


def rows(*counts_and_rates: tuple[int, int], **more: Any) -> list[dict[str, Any]]:
    names = iter(range(100))
    return [
        {"hca": f"mlx5_{next(names)}", "rate": rate, **more} for count, rate in counts_and_rates for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("ports", "rate"),
    [
        (rows((7, 200), (1, 400)), 200),
        (rows((2, 100), (1, 200)), 200),
        (rows((4, 200), (4, 100)), 200),
        (rows((16, 100), (2, 400)), 400),
        (rows((16, 100), (1, 400)), 100),
        (rows((1, 100)), 100),
    ],
)
def test_the_kind_that_gives_most(ports: list[dict[str, Any]], rate: int) -> None:
    node = read_node("a", machine(ports))
    assert best_kind(node, node.ports) == ("Ethernet", rate)


def test_without_ports_there_is_none() -> None:
    assert best_kind(read_node("a", machine([])), []) is None


def test_ports_of_the_mainboard() -> None:
    node = read_node("a", machine(rows((8, 25), (1, 100))))
    assert [p.rate_gbps for p in onboard(node.ports)] == [25.0] * 8
    alone = read_node("a", machine(rows((2, 25), (2, 10))))
    assert onboard(alone.ports) == []


def test_nothing_is_near_in_a_guest() -> None:
    ports = [{"hca": "mlx5_0", "rate": 200, "gpu": 3}]
    assert near_gpus(read_node("a", machine(ports)), read_node("a", machine(ports)).ports) == {3}
    guest = read_node("a", machine(ports, virtual_machine=True))
    assert near_gpus(guest, guest.ports) == frozenset()


@pytest.mark.parametrize(
    ("count", "even"), [(1, True), (2, True), (3, False), (8, True), (9, False), (16, True), (0, False)]
)
def test_rails_for_eight_gpus(count: int, even: bool) -> None:
    assert fills_evenly(read_node("a", machine([])), count) is even
