# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report out of the answers of all nodes to ``fullrank.serving.preflight``.

Pure: answers in, report out. The comparisons between nodes are made here, because no node can make them: equal MTU,
GPUs, driver, image, versions, RDMA ports, clocks, and which node reaches which.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    FAIL,
    PASS,
    SKIPPED,
    WARN,
    by_hosts,
    failed,
    finding,
    passed,
    skipped,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import some
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.clock import check_node, check_nodes
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.table import render

COUNTED = (FAIL, WARN, SKIPPED, PASS)

Answer = Mapping[str, Any]
"""What one node answered: ``{"checks": [...], "node": {...}}``; anything else counts as no answer."""


@dataclass(frozen=True)
class Equal:
    """A value of a node that must be the same on all nodes of a deployment."""

    key: str
    code: str
    severity: str
    what: str
    remedy: str


EQUAL: tuple[Equal, ...] = (
    Equal(
        "mtu", "mtu-equal", "fail", "MTU of the rendezvous interface", "set one MTU on all nodes and on the switches"
    ),
    Equal("gpu_count", "gpu-count-equal", "fail", "number of GPUs", "use the same number on each node by engine_gpus"),
    Equal("gpu_kinds", "gpu-kind-equal", "fail", "kind of GPUs", "put unlike nodes into different deployments"),
    Equal("driver_version", "driver-equal", "fail", "NVIDIA driver", "install one driver version on all nodes"),
    Equal(
        "image_id", "image-equal", "fail", "engine image", "pull the image again on the nodes that differ, by digest"
    ),
    Equal("rdma_active", "rdma-equal", "warn", "active RDMA ports", "look for a port that is down or of another rate"),
    Equal(
        "speed_mbps", "speed-equal", "warn", "speed of the rendezvous interface", "look for a link that negotiated less"
    ),
    Equal("os", "os-equal", "warn", "operating system", "install one release on all nodes"),
    Equal("kernel", "kernel-equal", "warn", "running kernel", "update and reboot the nodes that differ"),
)


def report(
    answers: Mapping[str, Answer | None],
    max_skew_s: float = 5.0,
    routers: Mapping[str, Answer] | None = None,
) -> dict[str, Any]:
    """Merge what all nodes answered.

    answers: node name → the module's result; None or a result without ``checks`` for a node that did not answer.
    Values are compared within each deployment that the nodes name; nodes that name none are one.
    routers: host that routes → the result of ``fullrank.serving.router_info`` there, with findings; nothing of one that
    was not checked.
    max_skew_s: seconds that a clock may differ from the controller's, and two clocks of a deployment from each other.

    Returns ``verdict`` (pass, warn, fail), ``counts`` (severity → number), ``nodes`` (node → counts), ``checks`` (all
    answers, each with its ``host``), ``findings`` (fail and warn only, alike ones of several nodes as one, in the form
    that all findings of the collection have, with ``hosts``), ``reachability`` (node → peer → ok, the fault, or ?) and
    ``lines`` (all of it for people).
    """
    checks = [{**check, "host": host} for host, answer in answers.items() for check in _of_node(answer, max_skew_s)]
    reported = {host: answer for host, answer in (routers or {}).items() if answer}
    for host, answer in reported.items():
        checks += [{**check, "host": host} for check in _of_router(answer)]
    for name, nodes in _by_deployment(answers).items():
        checks += _compare(name, nodes, max_skew_s)
    counts = Counter(check["severity"] for check in checks)
    result: dict[str, Any] = {
        "verdict": "fail" if counts["fail"] else "warn" if counts["warn"] else "pass",
        "counts": {severity: counts[severity] for severity in COUNTED},
        "nodes": {host: _count(check for check in checks if check["host"] == host) for host in {**answers, **reported}},
        "checks": checks,
        "findings": by_hosts((check["host"], check) for check in checks),
        "reachability": _reachability(answers),
    }
    return {**result, "lines": render(result, list(answers))}


def _of_node(answer: Answer | None, max_skew_s: float) -> list[dict[str, Any]]:
    if not answer or not _checks(answer):
        return [_silent(answer)]
    return [*_checks(answer), check_node((answer.get("node") or {}).get("clock") or {}, max_skew_s)]


def _of_router(answer: Answer) -> list[dict[str, Any]]:
    found = answer.get("findings")
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else [_silent(answer)]


def _checks(answer: Answer | None) -> list[dict[str, Any]]:
    checks = answer.get("checks") if isinstance(answer, Mapping) else None
    return list(checks) if isinstance(checks, Sequence) and not isinstance(checks, str) else []


def _silent(answer: Answer | None) -> dict[str, Any]:
    reason = str(answer.get("msg") or "") if isinstance(answer, Mapping) else ""
    message = "the node did not answer" + (f": {reason}" if reason else "")
    return failed(
        "node-answers", "node", message, "check ssh, become and Python on the node; none of its checks has run"
    )


def _count(checks: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts = Counter(check["severity"] for check in checks)
    return {severity: counts[severity] for severity in COUNTED}


# --- between nodes ---


Nodes = Mapping[str, Mapping[str, Any]]
"""Host → what is comparable of it."""


def _by_deployment(answers: Mapping[str, Answer | None]) -> dict[str, Nodes]:
    """The nodes that answered, by deployment, in the order of the answers."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for host, answer in answers.items():
        if answer and _checks(answer) and "node" in answer:
            found.setdefault(answer["node"].get("deployment") or "", {})[host] = answer["node"]
    return dict(found)


def _compare(deployment: str, nodes: Nodes, max_skew_s: float) -> list[dict[str, Any]]:
    if len(nodes) < 2:
        return []
    checks = [equal(deployment, nodes, rule) for rule in EQUAL]
    names = sorted({name for node in nodes.values() for name in node.get("versions") or {}})
    checks += [
        equal(
            deployment,
            {host: {name: (node.get("versions") or {}).get(name)} for host, node in nodes.items()},
            Equal(name, "version-equal", "fail", f"version of {name}", f"install one version of {name} on all nodes"),
        )
        for name in names
    ]
    clocks = check_nodes({host: node.get("clock") or {} for host, node in nodes.items()}, max_skew_s)
    return [*checks, {**clocks, "host": deployment or "all nodes"}]


def equal(deployment: str, nodes: Nodes, rule: Equal) -> dict[str, Any]:
    """One rule over all nodes; nodes that do not know the value do not take part."""
    groups: dict[str, list[str]] = {}
    for host, node in nodes.items():
        if node.get(rule.key) not in (None, [], ""):
            groups.setdefault(_shown(node[rule.key]), []).append(host)
    if not groups or sum(map(len, groups.values())) < 2:
        found = skipped(rule.code, rule.what, "known on fewer than two nodes")
    elif len(groups) == 1:
        found = passed(rule.code, rule.what, f"equal: {next(iter(groups))}")
    else:
        ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        message = "differs: " + "; ".join(f"{value} on {some(hosts)}" for value, hosts in ordered)
        found = finding(rule.severity, rule.code, rule.what, message, rule.remedy)
    return {**found, "data": groups, "host": deployment or "all nodes"}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{number} x {item}" if number > 1 else str(item) for item, number in Counter(value).items())
    return str(value)


def _reachability(answers: Mapping[str, Answer | None]) -> dict[str, dict[str, str]]:
    """node → peer → ``ok``, what is wrong (the codes of the checks that fail), or ``?`` where nothing is known."""
    matrix: dict[str, dict[str, str]] = {}
    for host, answer in answers.items():
        for check in _checks(answer):
            peer = check["data"].get("peer")
            if peer is None:
                continue
            row = matrix.setdefault(host, {})
            row.setdefault(peer, "?")
            if check["severity"] == "fail":
                row[peer] = check["code"] if row[peer] in ("?", "ok") else f"{row[peer]}+{check['code']}"
            elif check["code"] == "reach" and check["severity"] == "pass" and row[peer] == "?":
                row[peer] = "ok"
    return matrix
