# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which HCA ports carry the GPU traffic of one node: rules R2 to R6 of docs/nccl.md."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.bonds import inactive
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import FAR, gpu_distances
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lists import parse_names
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.rates import (
    best_kind,
    fills_evenly,
    kind,
    near_gpus,
    onboard,
)

MAX_HCAS = 32
"""MAX_IB_DEVS of NCCL's src/transport/net_ib/common.h; also documented with NCCL_IB_HCA."""

DOWN = "port is not ACTIVE with its link up"
EXCLUDED = "on the site's exclusion list (exclude_hcas)"
NOT_INCLUDED = "not on the site's list (include_hcas)"
NOT_PINNED = "not in your NCCL_IB_HCA"
WAITS = "waits in an active-backup bond"
ETHERNET = "Ethernet port beside an InfiniBand fabric of the top rate"
ONBOARD = "far slower than the other ports: no fabric of GPUs"
FAR_FROM_ALL = "far (NODE/SYS) from every GPU, while others are beside theirs (PIX/PXB)"
OTHER_KIND = "not of the kind of ports that gives the GPUs most"
DEFAULT_ROUTE = "carries the default route: management network"
BOOTSTRAP = "carries the bootstrap address"


@dataclass
class Selection:
    """The ports that stay, in rail order, and why each other one does not.

    ``dropped``: label → why; ``left``: the same ports. ``refused``: why no list can be given, or "".
    """

    host: str
    ports: list[Port]
    dropped: dict[str, str] = field(default_factory=dict)
    left: list[Port] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refused: str = ""

    def drop(self, unwanted: Callable[[Port], bool], why: str) -> list[Port]:
        out = [p for p in self.ports if unwanted(p)]
        for port in out:
            self.ports.remove(port)
            self.left.append(port)
            self.dropped[port.label] = why
        return out

    def left_out(self, *reasons: str) -> list[Port]:
        """The ports that were dropped for one of ``reasons``."""
        return [p for p in self.left if self.dropped[p.label] in reasons]

    def find(self, severity: str, code: str, where: str, message: str, remedy: str) -> None:
        self.findings.append(finding(severity, code, f"{self.host}.{where}", message, remedy))


def select_ports(node: Node, include: Collection[str] = (), exclude: Collection[str] = ()) -> Selection:
    """The ports NCCL shall use.

    ``include``, ``exclude``: HCA names or ``name:port``. What is included is used and nothing else; what is excluded
    never is.
    """
    chosen = _candidates(node)
    chosen.drop(lambda p: _named(p, exclude), EXCLUDED)
    _without_waiting(chosen, node)
    if include:
        _only_included(chosen, include)
    else:
        _without_virtual_functions(chosen, node)
        _without_slower_ethernet(chosen)
        slow = onboard(chosen.ports)
        chosen.drop(slow.__contains__, ONBOARD)
        _without_management(chosen, node)
        _near_the_gpus(chosen, node)
        _one_kind(chosen, node)
    _refuse_mixed(chosen)
    _at_most_32(chosen)
    return chosen


def pinned_ports(node: Node, value: str) -> Selection:
    """The ports that a user's own NCCL_IB_HCA selects: NCCL itself takes the active ones of them, and no others."""
    chosen = _candidates(node)
    names = parse_names(value)
    chosen.drop(lambda p: not names.takes(p.hca.name, p.number), NOT_PINNED)
    if value and len({kind(p) for p in chosen.ports}) > 1:
        chosen.find(
            WARN,
            "rails-mixed",
            "hcas",
            f"your NCCL_IB_HCA takes ports that are not alike: {_kinds(chosen.ports)}; they run at the pace of the slowest",
            "name the HCAs of one fabric, or remove NCCL_IB_HCA",
        )
    _at_most_32(chosen)
    return chosen


def dropped_text(chosen: Selection) -> str:
    """Which ports were left out and why, those of one reason together; "" where none was."""
    by_reason: dict[str, list[str]] = {}
    for label, why in chosen.dropped.items():
        by_reason.setdefault(why, []).append(label)
    return "; ".join(f"without {', '.join(labels)}: {why}" for why, labels in by_reason.items())


def hca_list(chosen: Selection, node: Node) -> str:
    """The value of NCCL_IB_HCA (R6): exact names; with a port only where another port of that HCA was filtered out."""
    return "=" + ",".join(_tokens(chosen, node))


def _candidates(node: Node) -> Selection:
    chosen = Selection(node.host, sorted(node.ports, key=lambda p: (p.hca.rail_key, p.number)))
    _usable(chosen)
    return chosen


def _tokens(chosen: Selection, node: Node) -> list[str]:
    partly = {p.hca.name for p in node.ports if p.label in chosen.dropped}
    return list(dict.fromkeys(p.label if p.hca.name in partly else p.hca.name for p in chosen.ports))


def _named(port: Port, names: Collection[str]) -> bool:
    return port.hca.name in names or port.label in names


def labels(ports: Iterable[Port]) -> str:
    return ", ".join(p.label for p in ports)


def _usable(chosen: Selection) -> None:
    """R2. An HCA whose link layer is neither (EFA reports "Unspecified") is not for NCCL's own transport."""
    for port in [p for p in chosen.ports if p.hca.unfit]:
        chosen.drop(port.__eq__, port.hca.unfit)
    known = ("InfiniBand", "Ethernet")
    chosen.drop(lambda p: p.link_layer not in known, "link layer is neither InfiniBand nor Ethernet")
    down = chosen.drop(lambda p: p.state != "ACTIVE" or p.phys_state != "LINKUP", DOWN)
    if down and not chosen.ports:
        chosen.find(
            WARN,
            "rdma-ports-down",
            "hcas",
            "no RDMA port is up: " + ", ".join(f"{p.label} is {p.state}/{p.phys_state}" for p in down),
            "check cables and switch ports; on InfiniBand the subnet manager; on RoCE that the network device is up",
        )


def _without_waiting(chosen: Selection, node: Node) -> None:
    """The member of an active-backup bond that waits has no address, and can have none (`bonds`)."""
    waiting = inactive(node, chosen.ports)
    out = chosen.drop(lambda p: p.label in waiting, WAITS)
    if out:
        lost, bonds = sum(p.rate_gbps for p in out), ", ".join(sorted(set(waiting.values())))
        chosen.find(
            WARN,
            "bond-member-waits",
            "netdevs",
            f"{labels(out)} left out: {bonds} is an active-backup bond, and only the HCA of its active member has the "
            f"bond's GIDs; {lost:g} Gbit/s of this node are not used, and a change-over of the bond ends the connections",
            "make it one device (mode 802.3ad with RoCE LAG: mlx5_bond_0), or take the ports out of the bond and give "
            "each an address",
        )


def _only_included(chosen: Selection, include: Collection[str]) -> None:
    chosen.drop(lambda p: not _named(p, include), NOT_INCLUDED)
    missing = [n for n in include if not any(_named(p, (n,)) for p in chosen.ports)]
    if missing:
        chosen.find(
            FAIL,
            "hca-not-usable",
            "hcas",
            f"include_hcas names {', '.join(missing)}, which this node has not, or not with an active port",
            "name HCAs as ls /sys/class/infiniband shows them, or leave include_hcas out",
        )


def _without_virtual_functions(chosen: Selection, node: Node) -> None:
    """Virtual functions seen beside their physical ones are meant for guests; inside a guest they are all there is."""
    if not node.virtual_machine and not all(p.hca.is_vf for p in chosen.ports):
        chosen.drop(lambda p: p.hca.is_vf, "virtual function beside physical ones")


def _without_slower_ethernet(chosen: Selection) -> None:
    """R3."""
    fastest = max((p.rate_gbps for p in chosen.ports), default=0.0)
    if any(p.link_layer == "InfiniBand" and p.rate_gbps == fastest for p in chosen.ports):
        chosen.drop(lambda p: p.link_layer == "Ethernet", ETHERNET)


def _without_management(chosen: Selection, node: Node) -> None:
    """R4, first half: the Ethernet ports of the default route and the bootstrap address, unless they are rails.

    An InfiniBand port may carry either over IPoIB and is a rail all the same.
    """
    default = {n.name for n in node.netdevs.values() if n.default_route}
    ethernet = [p for p in chosen.ports if p.link_layer == "Ethernet"]
    management = [p for p in ethernet if _carries(node, p, default)]
    bootstrap = [p for p in ethernet if p not in management and _carries(node, p, {node.interface})]
    rest = [p for p in chosen.ports if p not in management and p not in bootstrap]
    if rest:
        rails = [p for p in (*management, *bootstrap) if _is_rail(node, p, rest)]
        if rails and not all(near_gpus(node, [p]) or _twin(p, rest) for p in rails):
            # without distances their number tells: 2 of 2, but not the fifth beside four
            alike = [p for p in rest if kind(p) == kind(rails[0])]
            if not fills_evenly(node, len(alike) + len(rails)) and fills_evenly(node, len(alike)):
                rails = [p for p in rails if near_gpus(node, [p]) or _twin(p, rest)]
    else:
        # nothing but these: a node with one network. The default route then still loses against the bootstrap network.
        rails = bootstrap or management
        if management and not bootstrap:
            chosen.find(
                INFO,
                "fabric-shared",
                "netdevs",
                f"{labels(management)} is the only RDMA network and also carries the default route",
                "nothing to do; expect management traffic beside the GPUs'",
            )
    chosen.drop(lambda p: p in management and p not in rails, DEFAULT_ROUTE)
    chosen.drop(lambda p: p in bootstrap and p not in rails, BOOTSTRAP)
    if rest and rails:
        chosen.find(
            INFO,
            "rail-shared",
            "netdevs",
            f"{labels(rails)} carries the rendezvous or the default route, and is a rail all the same: it is of the "
            "kind of the others",
            "nothing to do; if it is management only, put it into exclude_hcas",
        )


def _carries(node: Node, port: Port, names: set[str]) -> bool:
    return any(not names.isdisjoint(node.upward(dev)) for dev in port.netdevs)


def _is_rail(node: Node, port: Port, others: list[Port]) -> bool:
    """Whether a port with the bootstrap address is a rail all the same: people do put the rendezvous on rail 0.

    It is one where a GPU would lose its only NIC at PIX/PXB, or where the same adapter shows a second time in another
    PCI domain, or where nothing is known of distances and it is of the same kind as the others.
    """
    if _twin(port, others):
        return True
    near = near_gpus(node, [port])
    if near:
        as_fast = port.rate_gbps >= max(p.rate_gbps for p in others)
        return as_fast and bool(near - near_gpus(node, others))
    return kind(port) in {kind(p) for p in others} and not near_gpus(node, others)


def _twin(port: Port, others: list[Port]) -> bool:
    """Socket Direct, as in DGX Spark: rocep1s0f1 and roceP2p1s0f1 are one cable."""
    domain, _unused, slot = port.hca.pci_address.partition(":")
    return any(
        slot and slot == other.hca.pci_address.partition(":")[2] and domain != other.hca.pci_address.partition(":")[0]
        for other in others
    )


def _near_the_gpus(chosen: Selection, node: Node) -> None:
    """R5. In a virtual machine the PCI tree is made up, so no conclusion is drawn from it.

    A port that is down counts for the place it has, so that one dead rail does not bring the storage ports back; but at
    least half of the GPUs must have one that is up. Where boards give every second GPU a NIC
    (github.com/deepseek-ai/DeepEP/issues/137: four near ones and one far from all 8 GPUs), the number tells.
    """
    up = near_gpus(node, chosen.ports)
    gpus = max((len(gpu_distances(node, p.hca)) for p in node.ports), default=0)
    if not up:
        return
    near = [p for p in chosen.ports if near_gpus(node, [p])]
    all_served = len(up | near_gpus(node, chosen.left_out(DOWN))) == gpus and 2 * len(up) >= gpus
    by_number = fills_evenly(node, len(near)) and not fills_evenly(node, len(chosen.ports))
    if all_served or by_number:
        chosen.drop(
            lambda p: bool(gpu_distances(node, p.hca)) and set(gpu_distances(node, p.hca)) <= FAR,
            FAR_FROM_ALL,
        )


def _one_kind(chosen: Selection, node: Node) -> None:
    """R4, second half: the kind of ports that gives the GPUs most."""
    best = best_kind(node, chosen.ports)
    if best is None:
        return
    layer, rate = best
    slower = [p for p in chosen.ports if p.link_layer == layer and p.rate_gbps < rate and near_gpus(node, [p])]
    degraded = [
        p for p in slower if near_gpus(node, [p]) - near_gpus(node, [q for q in chosen.ports if kind(q) == best])
    ]
    if degraded:
        chosen.find(
            WARN,
            "rail-degraded",
            "hcas",
            f"{', '.join(f'{p.label} at {p.rate_gbps:g} Gbit/s' for p in degraded)} beside a GPU, the others at {rate:g}",
            "a rail: check cable, transceiver and the speed of the switch port; for storage: put it into exclude_hcas",
        )
    chosen.drop(lambda p: kind(p) != best, OTHER_KIND)


def _refuse_mixed(chosen: Selection) -> None:
    """Ports of two link layers or two rates are not one fabric; only a list that names both leads here."""
    if len({kind(p) for p in chosen.ports}) < 2:
        return
    chosen.refused = f"the ports of include_hcas are not alike: {_kinds(chosen.ports)}"
    chosen.find(
        FAIL,
        "rails-mixed",
        "hcas",
        chosen.refused,
        "name the HCAs of one fabric in include_hcas",
    )


def _kinds(ports: Iterable[Port]) -> str:
    by_kind: dict[str, list[Port]] = {}
    for port in ports:
        by_kind.setdefault(f"{port.link_layer} {port.rate_gbps:g} Gbit/s", []).append(port)
    return "; ".join(f"{shown}: {labels(same)}" for shown, same in by_kind.items())


def _at_most_32(chosen: Selection) -> None:
    surplus = chosen.ports[MAX_HCAS:]
    if surplus:
        chosen.drop(surplus.__contains__, f"NCCL takes at most {MAX_HCAS} devices")
        chosen.find(
            WARN,
            "hca-limit",
            "hcas",
            f"more than {MAX_HCAS} candidate ports; {labels(surplus)} left out",
            "name the wanted HCAs in include_hcas",
        )
