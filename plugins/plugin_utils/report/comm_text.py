# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read of a communication check. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def lines(deployment: str, result: Mapping[str, Any], networks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line per size and per pair. result: `comm_verdict.as_data`; networks: what NCCL's log said, per node."""
    nodes, processes = len(result["nodes"]), result["processes"]
    used = sorted({name for one in networks for name in one.get("used", {})})
    over = f" over {', '.join(used)}" if used else ""
    text = [
        f"{deployment}: {result['backend']}{over}, {_count(nodes, 'node')} with {_count(processes, 'process')} each"
    ]
    if result["all_reduce"]:
        text.append(f"{'ALL-REDUCE':<24}{'TIME':>10}{'BUS BANDWIDTH':>18}")
        text += [
            f"{human.binary(int(one['bytes'])):<24}{human.duration(one['seconds']):>10}{one['bus_gbps']:>11.3f} Gbit/s"
            for one in result["all_reduce"]
        ]
    if result["pairs"]:
        text.append(f"{'PAIR':<24}{'LATENCY':>10}{'EACH WAY':>18}")
        text += [
            f"{' - '.join(one['nodes']):<24}{human.duration(one['latency_us'] / 1e6):>10}{one['gbps']:>11.3f} Gbit/s"
            for one in result["pairs"]
        ]
    return text
