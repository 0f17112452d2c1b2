# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface over which the ranks find each other: rule R1 of docs/nccl.md."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Sequence

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.draft import Draft
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lists import nccl_would_take
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.policy import HOST_IP, Policy
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.reach import leads_nowhere

VARIABLES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


def set_bootstrap(draft: Draft, node: Node, policy: Policy, peers: Sequence[str], *, alone: bool) -> None:
    """NCCL's interface with ``=``, gloo's and tensorpipe's without.

    ``peers``: addresses of the other ranks. ``alone``: the deployment has one node.
    """
    interface = bootstrap_interface(node)
    if node.declared and not interface:
        for name in VARIABLES:
            draft.leave(name, "the interface of the rendezvous address, found on the node at the start")
        return
    problem = _problem(node, interface, [] if alone else peers or None)
    if problem:
        for name in VARIABLES:
            draft.leave(name, problem)
        if not alone:
            draft.find(
                FAIL,
                "rendezvous-interface",
                "rendezvous.interface",
                problem,
                "put the node's address of the network that all ranks share into the inventory",
            )
        return
    left_alone = nccl_would_take([n.name for n in node.netdevs.values() if n.addresses])
    reason = "the interface of the rendezvous address; = makes the name exact"
    if left_alone and left_alone != [interface]:
        reason += f"; left to itself NCCL would take {', '.join(left_alone)}"
    draft.set("NCCL_SOCKET_IFNAME", f"={interface}", reason)
    for name in VARIABLES[1:]:
        draft.set(name, interface, "the same interface for torch's own groups, which take the bare name")
    if _family(node.address) == 6:
        draft.set(
            "NCCL_SOCKET_FAMILY", "AF_INET6", "the rendezvous address is IPv6, and NCCL prefers IPv4 where it can"
        )
    if node.address and policy.engine in HOST_IP:
        name = HOST_IP[policy.engine]
        draft.set(name, node.address, "this node's rendezvous address; must be another one on each node")


def bootstrap_interface(node: Node) -> str:
    """The rendezvous interface, of a bond's member the bond; "" where not known."""
    own = node.netdevs.get(node.interface)
    above = node.netdevs.get(own.master) if own else None
    return above.name if above and above.kind == "bond" else node.interface


def _problem(node: Node, interface: str, peers: Collection[str] | None) -> str:
    if not interface:
        return "the rendezvous interface is not known"
    if nowhere := leads_nowhere(node, interface, peers):
        return f"{interface} leads to no other node: {nowhere}"
    if node.netdevs and interface not in node.netdevs:
        return f"this node has no interface {interface}"
    return ""


def _family(address: str) -> int:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def address_findings(nodes: Sequence[Node]) -> list[Finding]:
    """Rendezvous addresses must differ and be of one family.

    A shared one ends in Ray's "No available node types can fulfill", github.com/vllm-project/vllm/issues/7815.
    """
    found = []
    seen = Counter(n.address for n in nodes if n.address)
    for address in (a for a, count in seen.items() if count > 1):
        hosts = ", ".join(n.host for n in nodes if n.address == address)
        found.append(
            finding(
                FAIL,
                "rendezvous-address-shared",
                f"{hosts.split(',', maxsplit=1)[0]}.rendezvous.address",
                f"{hosts} have the same rendezvous address {address}",
                "give each rank its own address on the rendezvous network",
            )
        )
    families = {f for n in nodes if (f := _family(n.address))}
    if len(families) > 1:
        found.append(
            finding(
                FAIL,
                "rendezvous-family-differs",
                "rendezvous.address",
                "some rendezvous addresses are IPv4, some IPv6: "
                + ", ".join(f"{n.host} {n.address}" for n in nodes if n.address),
                "use one family on all nodes",
            )
        )
    return found
