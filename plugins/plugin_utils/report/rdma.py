# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report out of what ``fullrank.serving.rdma_audit_info`` found on all nodes, with the comparisons between them. Pure.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.preflight import Equal, equal

_SAME = "set the same on all nodes"
EQUAL = (
    Equal("stack", "rdma-stack-equal", "fail", "RDMA stack", "install one release on all nodes"),
    Equal("kernel", "kernel-equal", "warn", "running kernel", "update and reboot the nodes that differ"),
    Equal("cards", "rdma-cards-equal", "warn", "cards and firmware", "bring the cards of one kind to one firmware"),
    Equal("ports", "rdma-ports-equal", "warn", "active ports", "look for a port that is down or of another rate"),
    Equal(
        "roce_mtu",
        "roce-mtu-equal",
        "fail",
        "MTU of the RoCE interfaces",
        "set one MTU on all nodes and on the switches",
    ),
    Equal("qos", "roce-qos-equal", "warn", "trust and flow control", _SAME),
    Equal("traffic_class", "traffic-class-equal", "warn", "traffic class of RDMA connections", _SAME),
    Equal("relaxed_ordering", "relaxed-ordering-equal", "warn", "relaxed ordering", _SAME),
)


def report(answers: Mapping[str, Any]) -> dict[str, Any]:
    """answers: node → the module's result; nodes without ``checks`` (no cards) take no part.

    Returns ``findings`` (the one shape, with ``hosts``), ``failed``, ``reboot_required`` (node → why) and ``lines`` for
    people, failures first.
    """
    answered = {
        host: answer for host, answer in answers.items() if isinstance(answer, Mapping) and answer.get("checks")
    }
    rows = [(host, one) for host, answer in answered.items() for one in answer["checks"]]
    if len(answered) > 1:
        nodes = {host: answer["node"] for host, answer in answered.items()}
        rows += [("all nodes", equal("all nodes", nodes, rule)) for rule in EQUAL]
    ordered = findings.by_hosts(rows)
    lines = [f"{one['severity']}: {', '.join(one['hosts'])}: {findings.line(one)}" for one in ordered]
    return {
        "findings": ordered,
        "failed": any(one["severity"] == "fail" for one in ordered),
        "reboot_required": {host: why for host, answer in answered.items() if (why := answer.get("reboot_required"))},
        "lines": lines,
    }
