# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the facts of a machine from a short description, in the shape rdma_info and gpu_info report.

A port is described by ``hca`` (a name, or ``mlx5_1..mlx5_4``), ``rate`` in Gbit/s, and optionally ``layer``, ``gpu``
(the GPU on the same PCIe switch) or ``gpu_from`` (that of the first, the next port has the next), ``default_route``,
``state``, ``vf``, ``netdev``, ``ipv6``, ``gid_at`` (index of the routable v2 GID), ``no_address``, ``no_pci``,
``pci``.
"""

from __future__ import annotations

import re
from typing import Any

Facts = dict[str, Any]


def names(text: str) -> list[str]:
    """``mlx5_1..mlx5_3`` → three names."""
    first, _, last = text.partition("..")
    if not last:
        return [first]
    stem, start, rest = re.match(r"(.*?)(\d+)(\D*)$", first).groups()  # type: ignore[union-attr]
    end = re.match(rf"{re.escape(stem)}(\d+)", last).group(1)  # type: ignore[union-attr]
    return [f"{stem}{i}{rest}" for i in range(int(start), int(end) + 1)]


def gids(rail: int, rank: int, netdev: str, *, at: int = 3, ipv6: bool = False, address: bool = True) -> list[Facts]:
    """A GID table as ConnectX cards show it: link-local v1 and v2 first, then the address, v2 at index ``at``."""
    local = f"fe80::a288:c2ff:fe3b:{rail:x}{rank:02x}"
    table = [(0, local, "RoCE v1"), (1, local, "RoCE v2")]
    if address:
        routable = f"fd00:{rail + 1:x}::{rank + 1:x}" if ipv6 else f"::ffff:10.{rail + 1}.0.{rank + 1}"
        table += [(at - 1, routable, "RoCE v1"), (at, routable, "RoCE v2")]
    return [{"index": i, "gid": g, "type": t, "netdev": netdev} for i, g, t in table]


def gpu(index: int, capability: str = "9.0", name: str = "NVIDIA H100 80GB HBM3") -> Facts:
    bus = 0x10 + index
    return {
        "index": index,
        "uuid": f"GPU-{index}",
        "name": name,
        "pci_address": f"0000:{bus:02x}:03.0",
        "pci_path": [
            f"pci0000:{bus:02x}",
            f"0000:{bus:02x}:00.0",
            f"0000:{bus:02x}:01.0",
            f"0000:{bus:02x}:02.0",
            "gpu",
        ],
        "numa_node": index // 4,
        "compute_capability": capability,
    }


def machine(ports: list[Facts], rank: int = 0, *, gpus: int = 8, capability: str = "9.0", **extra: Any) -> Facts:
    """The facts of rank ``rank``. ``extra`` replaces or adds top-level facts."""
    hcas: list[Facts] = []
    netdevs = [_netdev("eth0", [f"192.168.5.{rank + 4}/24"], default=not any(p.get("default_route") for p in ports))]
    rail = 0
    for port in ports:
        for name in names(port["hca"]):
            hcas.append(_hca(name, port, rail, rank, len(hcas)))
            if port.get("layer", "Ethernet") == "Ethernet":
                address = [] if port.get("no_address") else [f"10.{rail + 1}.0.{rank + 1}/24"]
                netdevs.append(_netdev(_dev(port, rail), address, default=bool(port.get("default_route"))))
            rail += 1
    facts = {
        "hcas": hcas,
        "netdevs": netdevs,
        "gpus": [gpu(i, capability) for i in range(gpus)],
        "virtual_machine": False,
        "rendezvous": {"interface": "eth0", "address": f"192.168.5.{rank + 4}"},
    }
    return {**facts, **extra}


def _dev(port: Facts, rail: int) -> str:
    return str(port.get("netdev") or f"rdma{rail}")


def _netdev(name: str, addresses: list[str], *, default: bool) -> Facts:
    return {
        "name": name,
        "operstate": "up",
        "mtu": 1500 if name == "eth0" else 9000,
        "speed_mbps": 25000,
        "carrier": True,
        "master": None,
        "kind": "physical",
        "addresses": addresses,
        "default_route": default,
    }


def _hca(name: str, port: Facts, rail: int, rank: int, position: int) -> Facts:
    beside = port.get("gpu")
    if beside is None and "gpu_from" in port:
        beside = port["gpu_from"] + rail
    bus = 0x10 + beside if beside is not None else 0x80 + position
    path = [f"pci0000:{bus:02x}", f"0000:{bus:02x}:00.0"]
    if beside is not None:
        path += [f"0000:{bus:02x}:01.0", f"0000:{bus:02x}:04.{position % 8}", name]
    else:
        path += [name]
    layer = port.get("layer", "Ethernet")
    table = gids(
        rail,
        rank,
        _dev(port, rail),
        at=port.get("gid_at", 3),
        ipv6=bool(port.get("ipv6")),
        address=not port.get("no_address"),
    )
    return {
        "name": name,
        "pci_address": port.get("pci") or f"0000:{0x20 + position:02x}:00.0",
        "pci_path": path if not port.get("no_pci") else [],
        "numa_node": beside // 4 if beside is not None else 0,
        "is_vf": bool(port.get("vf")),
        "netdevs": [_dev(port, rail)] if layer == "Ethernet" else [],
        "ports": [
            {
                "port": 1,
                "state": port.get("state", "ACTIVE"),
                "phys_state": "LinkUp" if port.get("state", "ACTIVE") == "ACTIVE" else "Disabled",
                "rate_gbps": float(port["rate"]),
                "link_layer": layer,
                "lid": 0,
                "gids": table
                if layer == "Ethernet"
                else [{"index": 0, "gid": f"fe80::{rail + 1:x}", "type": "IB", "netdev": ""}],
            }
        ],
    }
