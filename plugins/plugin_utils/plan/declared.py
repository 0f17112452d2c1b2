# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared of a node (engine_hardware), in the shape in which the node itself would report it. Pure; private.

So a plan before there are nodes goes through the same functions as a start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LINK_LAYERS = {"infiniband": "InfiniBand", "ib": "InfiniBand", "roce": "Ethernet", "ethernet": "Ethernet"}


def declares_fabric(hardware: Mapping[str, Any]) -> bool:
    """Whether anything is declared that the NCCL environment follows from."""
    return bool({"hcas", "rdma", "interface", "nvlink_domain"} & hardware.keys())


def declared_rdma(hardware: Mapping[str, Any]) -> bool:
    """Whether the node has RDMA devices, by what is declared."""
    return bool(hardware.get("hcas")) or hardware.get("rdma") is True


def declared_facts(hardware: Mapping[str, Any], address: str) -> dict[str, Any]:
    """The facts of one node for ``nccl_env``. address: its declared rendezvous address, "" where there is none."""
    interface = str(hardware.get("interface") or "")
    facts: dict[str, Any] = {
        "declared": True,
        "netdevs": [],
        "gpus": [_gpu(hardware) for _index in range(_whole(hardware.get("gpus_per_node")))],
        "rendezvous": {"interface": interface, "address": address},
    }
    if hardware.get("hcas"):
        facts["hcas"] = [_hca(str(name), hardware) for name in hardware["hcas"]]
    elif hardware.get("rdma") is False:
        facts["hcas"] = []
    if "imex_channels" in hardware:
        facts["imex_channels"] = hardware["imex_channels"]
    return facts


def _gpu(hardware: Mapping[str, Any]) -> dict[str, Any]:
    found = {"name": hardware.get("gpu"), "compute_capability": hardware.get("compute_capability")}
    if _whole(hardware.get("nvlink_domain")) > _whole(hardware.get("gpus_per_node")):
        found |= {"fabric_cluster_uuid": "declared", "fabric_clique_id": 0}
    return found


def _hca(name: str, hardware: Mapping[str, Any]) -> dict[str, Any]:
    layer = LINK_LAYERS.get(str(hardware.get("link_layer") or "InfiniBand").lower(), "")
    port = {"port": 1, "state": "ACTIVE", "phys_state": "LinkUp", "link_layer": layer}
    return {"name": name, "ports": [{**port, "rate_gbps": hardware.get("rate_gbps") or 0}]}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
