# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RoCE ports that are members of a bond without being one device with it (RoCE LAG).

Of an active-backup bond the kernel gives the bond's addresses, and so its GIDs, to the active member's HCA only
(drivers/infiniband/core/roce_gid_mgmt.c). The other member cannot have an address of its own, and is no rail until the
bond changes over. With RoCE LAG both members belong to one HCA (mlx5_bond_0), which is no case for this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port

ACTIVE_BACKUP = "active-backup"


def inactive(node: Node, ports: Collection[Port]) -> Mapping[str, str]:
    """Label of each port that waits in a bond → the bond's name.

    By the bond's mode and active member where the facts have them. Else by its effect: a member without a routable GID
    beside one of the same bond that has them.
    """
    bonds = {p.label: bond for p in ports if p.link_layer == "Ethernet" and (bond := _bond(node, p))}
    found = {}
    for port in ports:
        bond = bonds.get(port.label, "")
        if not bond:
            continue
        known = node.netdevs.get(bond)
        if known and known.bond_mode == ACTIVE_BACKUP and known.active_slave:
            waits = known.active_slave not in port.netdevs
        else:
            beside = [p for p in ports if p is not port and bonds.get(p.label) == bond]
            waits = not port.is_addressed and any(p.is_addressed for p in beside)
        if waits:
            found[port.label] = bond
    return found


def _bond(node: Node, port: Port) -> str:
    """The bond of which this port's network device is a member; "" where the whole HCA is the bond, or there is none."""
    masters = {own.master for name in port.netdevs if (own := node.netdevs.get(name)) and own.master}
    bonds = [m for m in sorted(masters) if (up := node.netdevs.get(m)) is None or up.kind in ("bond", "")]
    members = [n for n in port.netdevs if n in node.netdevs and node.netdevs[n].master in bonds]
    return bonds[0] if bonds and len(members) == 1 else ""
