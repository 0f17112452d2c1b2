# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: which address of this node, and which of each peer, is meant.

People write ``ansible_host``: a name, or an address that a cloud translates and that no interface of the node has. What
the ranks use is the address on the interface that leads to the other ranks, so that is asked of the node.

PRIVATE to this collection.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.node import ip_routes
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host


def settle(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The options with addresses instead of names and with this node's own ``address``, and what stood in the way.

    The own address is, in this order: the one given, the one inside ``network``, the one that the kernel uses towards
    the peers. It stays None for a node without peers.
    """
    peers, checks = _resolve(host, wanted["peers"])
    address = wanted["address"]
    if not address and wanted["network"]:
        address, trouble = _within(facts, wanted["network"])
        checks += trouble
    elif not address:
        address, trouble = _towards(host, peers)
        checks += trouble
    return {**wanted, "peers": peers, "address": address}, checks


def _resolve(host: Host, peers: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Peers by address. A peer whose name this node does not know is a finding, and left out of the other checks."""
    known, checks = [], []
    names = [peer["address"] for peer in peers if not _is_address(peer["address"])]
    answers = host.run_all([("getent", "ahosts", name) for name in names])
    found = {name: result.stdout.split() for name, result in zip(names, answers) if result}  # noqa: B905
    addresses = {name: words[0] for name, words in found.items() if words}
    for peer in peers:
        name = peer["address"]
        if _is_address(name) or name in addresses:
            known.append({**peer, "address": addresses.get(name, name)})
        else:
            remedy = (
                "write its address as ansible_host, or put the name into /etc/hosts or the name server of this node"
            )
            checks.append(
                failed("reach", f"{peer['name']} ({name})", "its name is not known here", remedy, peer=peer["name"])
            )
    return known, checks


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(facts: dict[str, Any], network: str) -> tuple[str | None, list[Finding]]:
    """The one address of this node inside the network."""
    code = "interface"
    try:
        wanted = ipaddress.ip_network(network)
    except ValueError as error:
        return None, [failed(code, network, str(error), "write the network in CIDR notation, e.g. 10.0.0.0/24")]
    own = [entry.split("/")[0] for netdev in facts["netdevs"] for entry in netdev["addresses"]]
    inside = [address for address in own if ipaddress.ip_address(address) in wanted]
    if len(inside) == 1:
        return inside[0], []
    message = f"the node needs one address in the rendezvous network and has {', '.join(inside) or 'none'}"
    remedy = f"write the network in which every rank has one address; this node has {', '.join(own) or 'no address'}"
    return None, [failed(code, network, message, remedy)]


def _towards(host: Host, peers: list[dict[str, Any]]) -> tuple[str | None, list[Finding]]:
    """The address that the kernel uses towards the peers. A peer without a route is judged with the others' reach."""
    answers = host.run_all([("ip", "-json", "route", "get", peer["address"]) for peer in peers])
    routes = [ip_routes.route(result.stdout) for result in answers if result and result.rc == 0]
    found = sorted({(route["interface"], route["address"]) for route in routes if route.get("address")})
    if len(found) <= 1:
        return (found[0][1] if found else None), []
    message = "the other ranks are reached by different interfaces: " + ", ".join(" ".join(route) for route in found)
    remedy = "name the one network in which every rank has an address in engine_rendezvous_network"
    return None, [failed("interface", "routes", message, remedy)]
