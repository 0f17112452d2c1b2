# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which HCA ports carry the GPU traffic of one node: rules R2 to R6 of docs/nccl.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import FAR, NEAR, gpu_distances
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port

MAX_HCAS = 32
"""MAX_IB_DEVS of NCCL's src/transport/net_ib/common.h; also documented with NCCL_IB_HCA."""


@dataclass
class Selection:
    """The ports that stay, in rail order, and why each other one does not.

    ``refused``: why no list can be given, or "".
    """

    host: str
    ports: list[Port]
    dropped: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    refused: str = ""

    def drop(self, unwanted: Callable[[Port], bool], why: str) -> None:
        for port in [p for p in self.ports if unwanted(p)]:
            self.ports.remove(port)
            self.dropped[port.label] = why

    def find(self, severity: str, code: str, where: str, message: str, remedy: str) -> None:
        self.findings.append(finding(severity, code, f"{self.host}.{where}", message, remedy))


def select_ports(node: Node, include: Collection[str] = (), exclude: Collection[str] = ()) -> Selection:
    """The ports NCCL shall use.

    ``include``, ``exclude``: HCA names or ``name:port``. What is included is used and nothing else; what is excluded
    never is.
    """
    chosen = Selection(node.host, sorted(node.ports, key=lambda p: (p.hca.rail_key, p.number)))
    _usable(chosen)
    chosen.drop(lambda p: _named(p, exclude), "on the site's exclusion list (exclude_hcas)")
    if include:
        _only_included(chosen, include)
    else:
        _without_virtual_functions(chosen, node)
        _without_slower_ethernet(chosen)
        _without_management(chosen, node)
        _one_rate(chosen, node)
        _near_the_gpus(chosen, node)
    _refuse_mixed(chosen)
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


def _tokens(chosen: Selection, node: Node) -> list[str]:
    partly = {p.hca.name for p in node.ports if p.label in chosen.dropped}
    return list(dict.fromkeys(p.label if p.hca.name in partly else p.hca.name for p in chosen.ports))


def _named(port: Port, names: Collection[str]) -> bool:
    return port.hca.name in names or port.label in names


def _labels(ports: Iterable[Port]) -> str:
    return ", ".join(p.label for p in ports)


def _usable(chosen: Selection) -> None:
    """R2. An HCA whose link layer is neither (EFA reports "Unspecified") is not for NCCL's own transport."""
    for port in [p for p in chosen.ports if p.hca.unfit]:
        chosen.drop(port.__eq__, port.hca.unfit)
    known = ("InfiniBand", "Ethernet")
    chosen.drop(lambda p: p.link_layer not in known, "link layer is neither InfiniBand nor Ethernet")
    down = [p for p in chosen.ports if p.state != "ACTIVE" or p.phys_state != "LINKUP"]
    chosen.drop(down.__contains__, "port is not ACTIVE with its link up")
    if down and not chosen.ports:
        chosen.find(
            WARN,
            "rdma-ports-down",
            "hcas",
            "no RDMA port is up: " + ", ".join(f"{p.label} is {p.state}/{p.phys_state}" for p in down),
            "check cables and switch ports; on InfiniBand the subnet manager; on RoCE that the network device is up",
        )


def _only_included(chosen: Selection, include: Collection[str]) -> None:
    chosen.drop(lambda p: not _named(p, include), "not on the site's list (include_hcas)")
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
        chosen.drop(lambda p: p.link_layer == "Ethernet", "Ethernet port beside an InfiniBand fabric of the top rate")


def _without_management(chosen: Selection, node: Node) -> None:
    """R4, first half: the Ethernet ports of the default route and the bootstrap address, unless they are the fabric.

    An InfiniBand port may carry either over IPoIB and is a rail all the same.
    """
    default = {n.name for n in node.netdevs.values() if n.default_route}
    ethernet = [p for p in chosen.ports if p.link_layer == "Ethernet"]
    management = [p for p in ethernet if _carries(node, p, default)]
    bootstrap = [p for p in ethernet if p not in management and _carries(node, p, {node.interface})]
    if not set(chosen.ports) - {*management, *bootstrap}:
        # nothing but these: a node with one network. The default route then still loses against the bootstrap network.
        if not bootstrap:
            if management:
                chosen.find(
                    INFO,
                    "fabric-shared",
                    "netdevs",
                    f"{_labels(management)} is the only RDMA network and also carries the default route",
                    "nothing to do; expect management traffic beside the GPUs'",
                )
            return
        bootstrap = []
    chosen.drop(management.__contains__, "carries the default route: management network")
    rest = [p for p in chosen.ports if p not in bootstrap]
    bootstrap = [p for p in bootstrap if not _is_rail(node, p, rest)]
    chosen.drop(bootstrap.__contains__, "carries the bootstrap address")


def _carries(node: Node, port: Port, names: set[str]) -> bool:
    return any(not names.isdisjoint(node.upward(dev)) for dev in port.netdevs)


def _is_rail(node: Node, port: Port, others: list[Port]) -> bool:
    """Whether a port with the bootstrap address is a rail all the same: people do put the rendezvous on rail 0.

    It is one where a GPU would lose its only NIC at PIX/PXB, or where the same adapter shows a second time in another
    PCI domain (Socket Direct, as in DGX Spark: rocep1s0f1 and roceP2p1s0f1 are one cable).
    """
    mine = gpu_distances(node, port.hca)
    theirs = [gpu_distances(node, p.hca) for p in others]
    needed = any(d in NEAR and not any(i < len(t) and t[i] in NEAR for t in theirs) for i, d in enumerate(mine))
    domain, _unused, slot = port.hca.pci_address.partition(":")
    twin = any(
        slot and slot == other.hca.pci_address.partition(":")[2] and domain != other.hca.pci_address.partition(":")[0]
        for other in others
    )
    return (needed and not node.virtual_machine) or twin


def _one_rate(chosen: Selection, node: Node) -> None:
    """R4, second half: the rate most ports have. A tie is broken by distance alone; else it is refused below."""
    rates = Counter(p.rate_gbps for p in chosen.ports)
    if len(rates) < 2:
        return
    (rate, most), (_unused, next_most) = rates.most_common(2)
    if most == next_most:
        near = {p.rate_gbps for p in chosen.ports if NEAR & set(gpu_distances(node, p.hca))}
        if len(near) != 1:
            return
        rate = near.pop()
    slower = [p for p in chosen.ports if p.rate_gbps < rate and NEAR & set(gpu_distances(node, p.hca))]
    if slower:
        chosen.find(
            WARN,
            "rail-degraded",
            "hcas",
            f"{', '.join(f'{p.label} at {p.rate_gbps:g} Gbit/s' for p in slower)} beside a GPU, the others at {rate:g}",
            "a rail: check cable, transceiver and the speed of the switch port; for storage: put it into exclude_hcas",
        )
    chosen.drop(lambda p: p.rate_gbps != rate, f"rate differs from the {rate:g} Gbit/s most ports have")


def _near_the_gpus(chosen: Selection, node: Node) -> None:
    """R5. In a virtual machine the PCI tree is made up, so no conclusion is drawn from it."""
    distances = {p.label: gpu_distances(node, p.hca) for p in chosen.ports}
    gpus = max((len(d) for d in distances.values()), default=0)
    if node.virtual_machine or not gpus:
        return
    if all(any(i < len(d) and d[i] in NEAR for d in distances.values()) for i in range(gpus)):
        chosen.drop(
            lambda p: bool(distances[p.label]) and set(distances[p.label]) <= FAR,
            "far (NODE/SYS) from every GPU, while each GPU has a NIC at PIX/PXB",
        )


def _refuse_mixed(chosen: Selection) -> None:
    """Ports of two link layers or two rates are not one fabric, and no rule tells which is meant."""
    kinds = sorted({f"{p.link_layer} {p.rate_gbps:g} Gbit/s" for p in chosen.ports})
    if len(kinds) < 2:
        return
    chosen.refused = f"the candidate ports are not alike ({' and '.join(kinds)}): {_labels(chosen.ports)}"
    chosen.find(
        FAIL,
        "rails-mixed",
        "hcas",
        chosen.refused,
        "name the fabric's HCAs in include_hcas, or those of storage and management in exclude_hcas",
    )


def _at_most_32(chosen: Selection) -> None:
    surplus = chosen.ports[MAX_HCAS:]
    if surplus:
        chosen.drop(surplus.__contains__, f"NCCL takes at most {MAX_HCAS} devices")
        chosen.find(
            WARN,
            "hca-limit",
            "hcas",
            f"more than {MAX_HCAS} candidate ports; {_labels(surplus)} left out",
            "name the wanted HCAs in include_hcas",
        )
