# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a choice of ports costs: GPUs without a near rail, and ports that are better than one that is used.

No port is used that is farther or slower than one that was left out without a finding that names it, with the bandwidth.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import ORDER, gpu_distances
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.rates import fills_evenly, kind, near_gpus
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import (
    BOOTSTRAP,
    DEFAULT_ROUTE,
    DOWN,
    ETHERNET,
    EXCLUDED,
    FAR_FROM_ALL,
    NOT_INCLUDED,
    NOT_PINNED,
    ONBOARD,
    OTHER_KIND,
    WAITS,
    Selection,
    labels,
)

REMEDIES = {
    DOWN: "check cable, transceiver, switch port, and that the network device is up (rdma link); spare ports may stay down",
    EXCLUDED: "nothing to do where that is meant; else take it out of exclude_hcas",
    NOT_INCLUDED: "nothing to do where that is meant; else add it to include_hcas",
    NOT_PINNED: "nothing to do where that is meant; else remove NCCL_IB_HCA from the user environment",
    DEFAULT_ROUTE: "if it is a rail, name all rails in include_hcas; if not, put it into exclude_hcas",
    BOOTSTRAP: "if it is a rail, name all rails in include_hcas; if not, put it into exclude_hcas",
}
OTHERWISE = "if these are the rails, name them in include_hcas; if not, put them into exclude_hcas"
BY_RULE = (ETHERNET, ONBOARD, FAR_FROM_ALL, OTHER_KIND, DEFAULT_ROUTE, BOOTSTRAP)
ASKED_FOR = (EXCLUDED, NOT_INCLUDED, NOT_PINNED)


def lost_findings(node: Node, chosen: Selection, *, alone: bool = False) -> list[Finding]:
    """Findings on what ``chosen`` leaves unused. ``alone``: the deployment has one node, so nothing crosses them."""
    if not chosen.ports:
        return []
    found = [*_without_rail(node, chosen), *_left_out(node, chosen), *_rail_down(node, chosen)]
    return [{**f, "severity": INFO} if alone else f for f in found]


def _finding(node: Node, severity: str, code: str, message: str, remedy: str) -> Finding:
    return finding(severity, code, f"{node.host}.hcas", message, remedy)


def _total(chosen: Selection) -> float:
    return sum(p.rate_gbps for p in chosen.ports)


def _without_rail(node: Node, chosen: Selection) -> Iterator[Finding]:
    """GPUs with no used port at PIX/PXB while others have one. Their data takes another GPU's rail or crosses the CPU."""
    served = near_gpus(node, chosen.ports)
    gpus = max((len(gpu_distances(node, p.hca)) for p in node.ports), default=0)
    missing = [i for i in range(gpus) if i not in served]
    if not served or not missing:
        return
    beside = [p for p in chosen.left if near_gpus(node, [p]) & set(missing) and not p.hca.unfit]
    shown = f"GPU {', '.join(map(str, missing))}"
    text = f"{shown}: no RDMA port at PIX/PXB is used; the traffic takes the rails of other GPUs, or crosses the CPU"
    if not beside:
        most = 2 * len(missing) < gpus
        remedy = "compare nvidia-smi topo -m with the board's manual: a NIC that died is in neither"
        yield _finding(
            node, WARN if most else INFO, "gpu-without-rail", f"{text}; the facts show none beside it", remedy
        )
        return
    why = "; ".join(f"{p.label} beside it: {chosen.dropped[p.label]}" for p in beside)
    each = chosen.ports[0].rate_gbps
    text += f" ({why}); {len(missing)} of {gpus} GPUs, {each * len(beside):g} of {_total(chosen) + each * len(beside):g} Gbit/s"
    wanted = all(chosen.dropped[p.label] in ASKED_FOR for p in beside)
    remedy = REMEDIES.get(chosen.dropped[beside[0].label], OTHERWISE)
    yield _finding(node, INFO if wanted else WARN, "gpu-without-rail", text, remedy)


def _left_out(node: Node, chosen: Selection) -> Iterator[Finding]:
    """Ports that are nearer or faster than one that is used; of management ports also those that are as good.

    The others that the rules left out are a note.
    """
    reasons: dict[str, list[Port]] = {}
    others: list[Port] = []
    for port in chosen.left:
        why = chosen.dropped[port.label]
        shared = why in (BOOTSTRAP, DEFAULT_ROUTE)
        if why != WAITS and (_better(node, chosen, port) or (shared and _as_good(node, chosen, port))):
            reasons.setdefault(why, []).append(port)
        elif why in BY_RULE:
            others.append(port)
    if others:
        shown = "; ".join(
            f"{labels(same)}: {why}"
            for why in BY_RULE
            if (same := [p for p in others if chosen.dropped[p.label] == why])
        )
        unused = sum(p.rate_gbps for p in others)
        text = (
            f"not used: {shown}; {unused:g} Gbit/s beside the {_total(chosen):g} that are used, none nearer or faster"
        )
        yield _finding(node, INFO, "ports-not-used", text, OTHERWISE)
    for why, ports in reasons.items():
        lost = sum(p.rate_gbps for p in ports)
        shown = ", ".join(f"{p.label} ({_place(node, p)}{p.rate_gbps:g} Gbit/s)" for p in ports)
        text = (
            f"{shown} not used: {why}. A port that is used is not better: {labels(chosen.ports)} at "
            f"{chosen.ports[0].rate_gbps:g} Gbit/s; "
        )
        text += f"{lost:g} of {_total(chosen) + lost:g} Gbit/s are left"
        quiet = why in (*ASKED_FOR, DOWN) or all(p.hca.unfit for p in ports)
        yield _finding(node, INFO if quiet else WARN, "port-left-out", text, REMEDIES.get(why, OTHERWISE))


def _rail_down(node: Node, chosen: Selection) -> Iterator[Finding]:
    """Without distances the number tells: 7 rails for 8 GPUs beside a port that is down."""
    down = [p for p in chosen.left_out(DOWN) if p.link_layer == chosen.ports[0].link_layer and not p.hca.is_vf]
    if near_gpus(node, node.ports) or not down or not node.gpus:
        return
    have = len(chosen.ports)
    for more in range(1, len(down) + 1):
        if fills_evenly(node, have + more) and not fills_evenly(node, have):
            each = chosen.ports[0].rate_gbps
            text = (
                f"{have} rails for {len(node.gpus)} GPUs, and {labels(down)} is down: {each * more:g} of "
                f"{each * (have + more):g} Gbit/s are lost if {'it is' if more == 1 else f'{more} of them are'} a rail"
            )
            yield _finding(node, WARN, "rail-down", text, REMEDIES[DOWN])
            return


def _ranks(node: Node, port: Port) -> list[int]:
    """Distance of a port to each GPU as a number, nearest 0; none in a virtual machine."""
    if node.virtual_machine:
        return []
    return [ORDER.index(d) if d in ORDER else len(ORDER) for d in gpu_distances(node, port.hca)]


def _better(node: Node, chosen: Selection, port: Port) -> bool:
    """Whether a port that is not used is faster than one that is, or nearer: to its nearest GPU, or to any one GPU."""
    if any(port.rate_gbps > p.rate_gbps for p in chosen.ports):
        return True
    ranks, used = _ranks(node, port), [r for p in chosen.ports if (r := _ranks(node, p))]
    if not ranks or not used:
        return False
    if any(min(ranks) < min(r) for r in used):
        return True
    return any(
        rank < min(r[i] for r in used if i < len(r)) for i, rank in enumerate(ranks) if any(i < len(r) for r in used)
    )


def _as_good(node: Node, chosen: Selection, port: Port) -> bool:
    """Whether it is of the kind that is used, and as near as one of those."""
    if kind(port) != kind(chosen.ports[0]):
        return False
    ranks, used = _ranks(node, port), [min(r) for p in chosen.ports if (r := _ranks(node, p))]
    return not ranks or not used or min(ranks) <= max(used)


def _place(node: Node, port: Port) -> str:
    near = sorted(near_gpus(node, [port]))
    return f"beside GPU {', '.join(map(str, near))}, " if near else ""
