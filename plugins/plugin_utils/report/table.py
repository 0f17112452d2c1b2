# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight's report as lines for people. Pure text; no line depends on a terminal's width or colours.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import some, table

MATRIX_MAX_NODES = 16  # a wider table cannot be read; its faults are in the findings


def render(report: Mapping[str, Any], ranks: Iterable[str]) -> list[str]:
    """The verdict, what is wrong with its remedy, one line per check, which node reaches which.

    ranks: the nodes that have one.
    """
    counts, findings = report["counts"], report["findings"]
    lines = [
        f"preflight: {report['verdict']} - {len(report['nodes'])} nodes, "
        + ", ".join(f"{counts[status]} {status}" for status in counts)
    ]
    for found in findings:
        lines += ["", f"{found['severity']}: {found['code']} on {some(found['hosts'])}"]
        lines += [f"  {found['where']}: {found['message']}"]
        lines += [f"  -> {found['remedy']}"] if found["remedy"] else []
    return [*lines, "", *_summary(report["checks"]), *_matrix(ranks, report["reachability"])]


def _summary(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per kind of check, in the order in which the checks ran."""
    kinds: dict[str, dict[str, int]] = {}
    for check in checks:
        by_status = kinds.setdefault(check["code"], {})
        by_status[check["severity"]] = by_status.get(check["severity"], 0) + 1
    rows = [["check", "fail", "warn", "skipped", "pass"]]
    rows += [[id, *(str(counts.get(status) or "-") for status in rows[0][1:])] for id, counts in kinds.items()]
    return table(rows)


def _matrix(nodes: Iterable[str], reachability: Mapping[str, Mapping[str, str]]) -> list[str]:
    """From each node (row) to each peer (column), in the order of the inventory."""
    sources = list(nodes)
    names = list(dict.fromkeys([*sources, *(peer for row in reachability.values() for peer in row)]))
    if not reachability or len(names) > MATRIX_MAX_NODES:
        return []
    rows = [["from \\ to", *names]]
    rows += [
        [name, *("." if name == peer else reachability.get(name, {}).get(peer, "?") for peer in names)]
        for name in sources
    ]
    return ["", *table(rows)]
