# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read of a communication check. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def lines(deployment: str, result: Mapping[str, Any], networks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line per size and per pair. result: `comm_verdict.as_data`; networks: from NCCL's log, per node."""
    nodes, processes = len(result["nodes"]), result["processes"]
    used = sorted({name for one in networks for name in one.get("used", {})})
    over = f" over {', '.join(used)}" if used else ""
    text = [
        f"{deployment}: {result['backend']}{over}, {_count(nodes, 'node')} with {_count(processes, 'process')} each"
    ]
    if result["all_reduce"]:
        rows = [("ALL-REDUCE", "TIME", "BUS BANDWIDTH")]
        rows += [
            (human.binary(int(one["bytes"])), human.duration(one["seconds"]), f"{one['bus_gbps']:.3f} Gbit/s")
            for one in result["all_reduce"]
        ]
        text += table(rows, right=(1, 2))
    if result["pairs"]:
        rows = [("PAIR", "LATENCY", "EACH WAY")]
        rows += [
            (" - ".join(one["nodes"]), human.duration(one["latency_us"] / 1e6), f"{one['gbps']:.3f} Gbit/s")
            for one in result["pairs"]
        ]
        text += table(rows, right=(1, 2))
    return text
