# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an interface leads to the other nodes: judged by its addresses, and only without them by its name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node

_LOCAL = re.compile(
    r"lo|docker[0-9]+|docker_gwbridge|virbr[0-9]+(-nic)?|lxcbr[0-9]+|lxdbr[0-9]+|podman[0-9]+|veth[0-9a-f]+"
    r"|cni[0-9]+|cni-[\w.-]+|flannel[.\w-]+|cali[0-9a-f]+|lxc[0-9a-f]{6,}|cilium_\w+|tunl[0-9]+|kube-ipvs[0-9]+"
    r"|nodelocaldns|dummy[0-9]+|br-[0-9a-f]{12}",
    re.ASCII,
)
"""Whole names as these programs give them: docker's networks are br- and twelve hexadecimal digits, so br-ex is none of
them, and lom0 no loopback (decision 160)."""


LOOPBACK = "the loopback reaches this node only"


def is_local_name(name: str) -> bool:
    """Whether a name is one that container runtimes and hypervisors give to interfaces inside a machine."""
    return _LOCAL.fullmatch(name) is not None


def leads_nowhere(node: Node, name: str, peers: Collection[str] | None) -> str:
    """Why no other rank can be reached through the interface ``name``, or "" where one can, or where nothing tells.

    ``peers``: addresses of the other ranks; None where they are not known, empty where there are none.
    """
    if peers is not None and not peers:
        return ""
    own = node.netdevs.get(name)
    addresses = [i.ip for i in own.interfaces] if own else []
    if name == "lo" or (own and own.kind == "loopback") or (addresses and all(a.is_loopback for a in addresses)):
        return LOOPBACK
    if is_local_name(name) and not _has_peer(node, name, peers or ()):
        return "an interface between this node and its own containers or virtual machines"
    return ""


def elsewhere(node: Node, name: str, peers: Collection[str] | None) -> bool:
    """Whether the addresses of ``name`` are in other networks than all of ``peers``, and nothing tells of a route there.

    The rendezvous interface was found by asking the kernel for its route, so it is never one of these.
    """
    own = node.netdevs.get(name)
    if not own or not own.networks or not peers or own.default_route or name == node.interface:
        return False
    return not _has_peer(node, name, peers)


def _has_peer(node: Node, name: str, peers: Collection[str]) -> bool:
    own = node.netdevs.get(name)
    for peer in peers:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            continue
        if own and any(address in network for network in own.networks):
            return True
    return False
