# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA devices and network interfaces of a node, from sysfs. Raw: which of them serve a launch is decided elsewhere.

Layout of the files: Documentation/ABI/stable/sysfs-class-infiniband and Documentation/ABI/testing/sysfs-class-net of
the Linux kernel.

PRIVATE to this collection.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

INFINIBAND = "/sys/class/infiniband"
NET = "/sys/class/net"
# Virtual functions by PCI device id, for guests, where no physfn link tells. Source: the id table of the kernel's
# drivers/net/ethernet/mellanox/mlx5/core/main.c (entries marked as virtual functions).
_MELLANOX = "0x15b3"
_MELLANOX_VF = frozenset({"0x1012", "0x1014", "0x1016", "0x1018", "0x101a", "0x101c", "0x101e", "0xa2d3"})
_HEX = re.compile(r"^[0-9a-fA-F]+$")
_ARPHRD_LOOPBACK = "772"
_RTF_REJECT = 0x0200  # include/uapi/linux/route.h


def collect(host: Host) -> dict[str, Any]:
    """Everything ``fullrank.serving.rdma_info`` returns; see its documentation for the keys."""
    addresses, problems = _addresses(host)
    defaults = default_route_interfaces(host.read("/proc/net/route") or "", host.read("/proc/net/ipv6_route") or "")
    return {
        "hcas": [_hca(host, name) for name in host.entries(INFINIBAND)],
        "netdevs": [_netdev(host, name, addresses.get(name, []), name in defaults) for name in _netdev_names(host)],
        "problems": problems,
    }


# --- HCAs ---


def _hca(host: Host, name: str) -> dict[str, Any]:
    folder = f"{INFINIBAND}/{name}"
    device = f"{folder}/device"
    path = pci.chain(host.resolve(device))
    parent = host.read(f"{folder}/parent")  # software devices (rxe, siw) have no PCI device, but name their interface
    return {
        "name": name,
        "node_type": parse_numbered(host.read(f"{folder}/node_type")),
        "fw_ver": host.read(f"{folder}/fw_ver"),
        "hca_type": host.read(f"{folder}/hca_type"),
        "board_id": host.read(f"{folder}/board_id"),
        "node_guid": host.read(f"{folder}/node_guid"),
        "pci_address": path[-1] if path else None,
        "pci_path": path,
        "numa_node": pci.numa_node(host, device),
        "is_vf": _is_virtual_function(host, device),
        # On HGX B200 and later the NVSwitches' own management ports look like HCAs; their vital product data say so
        # (NVIDIA Fabric Manager User Guide, "NVLink 5"). No launch may use them.
        "nvswitch_management": b"SW_MNG" in (host.read_bytes(f"{device}/vpd") or b""),
        "netdevs": host.entries(f"{device}/net") or ([parent] if parent else []),
        "ports": [_port(host, folder, int(port)) for port in host.entries(f"{folder}/ports") if port.isdigit()],
    }


def _is_virtual_function(host: Host, device: str) -> bool:
    if host.exists(f"{device}/physfn"):
        return True
    return host.read(f"{device}/vendor") == _MELLANOX and host.read(f"{device}/device") in _MELLANOX_VF


def _port(host: Host, folder: str, number: int) -> dict[str, Any]:
    port = f"{folder}/ports/{number}"
    link_layer = host.read(f"{port}/link_layer")
    return {
        "port": number,
        "state": parse_numbered(host.read(f"{port}/state")),
        "phys_state": parse_numbered(host.read(f"{port}/phys_state")),
        "rate_gbps": parse_rate(host.read(f"{port}/rate")),
        "link_layer": link_layer,
        "lid": host.read_int(f"{port}/lid"),
        "gids": _gids(host, port, link_layer),
    }


def _gids(host: Host, port: str, link_layer: str | None) -> list[dict[str, Any]]:
    """The table without its empty entries; attributes are read for the others only (a table has up to 256)."""
    gids = []
    for index in host.entries(f"{port}/gids"):
        gid = parse_gid(host.read(f"{port}/gids/{index}"))
        if gid is None or not index.isdigit():
            continue
        # None: EINVAL, an entry of another network namespace. Its index must not be offered, but it is a fact.
        kind = host.read(f"{port}/gid_attrs/types/{index}")
        gids.append(
            {
                "index": int(index),
                "gid": gid,
                "type": parse_gid_type(kind, link_layer),
                "netdev": host.read(f"{port}/gid_attrs/ndevs/{index}") or None,
            }
        )
    return gids


def parse_numbered(text: str | None) -> str | None:
    """``4: ACTIVE`` → ``ACTIVE``: the form of state, phys_state and node_type.

    >>> parse_numbered("5: LinkUp")
    'LinkUp'
    """
    return text.split(":", 1)[-1].strip() if text else None


def parse_rate(text: str | None) -> float | None:
    """``200 Gb/sec (4X HDR)`` → 200.0, in Gbit/s.

    >>> parse_rate("2.5 Gb/sec (1X SDR)")
    2.5
    """
    match = re.match(r"^(\d+(?:\.\d+)?)\s*Gb/sec", text or "")
    return float(match.group(1)) if match else None


def parse_gid(text: str | None) -> str | None:
    """A GID in the notation of addresses, IPv4 in dots; None for an empty entry or what is no GID.

    >>> parse_gid("0000:0000:0000:0000:0000:ffff:0a00:0001")
    '::ffff:10.0.0.1'
    """
    try:
        address = ipaddress.IPv6Address(text or "")
    except ValueError:
        return None
    if address == ipaddress.IPv6Address(0):
        return None
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def parse_gid_type(text: str | None, link_layer: str | None) -> str | None:
    """``RoCE v2``, ``RoCE v1`` or ``IB``: the kernel calls the last two by one name, the link layer tells them apart.

    >>> parse_gid_type("IB/RoCE v1", "Ethernet")
    'RoCE v1'
    """
    if text == "IB/RoCE v1":
        return "IB" if link_layer == "InfiniBand" else "RoCE v1"
    return text or None


# --- network interfaces ---


def _netdev_names(host: Host) -> list[str]:
    """Interfaces; /sys/class/net also holds plain files (bonding_masters)."""
    return [name for name in host.entries(NET) if host.exists(f"{NET}/{name}/mtu")]


def _netdev(host: Host, name: str, addresses: list[str], default_route: bool) -> dict[str, Any]:
    folder = f"{NET}/{name}"
    path = pci.chain(host.resolve(f"{folder}/device"))
    speed = host.read_int(f"{folder}/speed")
    files = host.entries(folder)
    return {
        "name": name,
        "kind": _kind(host, folder, files),
        "operstate": host.read(f"{folder}/operstate"),
        "carrier": host.read(f"{folder}/carrier") == "1",
        "mtu": host.read_int(f"{folder}/mtu"),
        # a link that is down answers -1, or the same as an unsigned number
        "speed_mbps": speed if speed is not None and 0 < speed < 0xFFFFFFFF else None,
        "mac": host.read(f"{folder}/address"),
        "master": host.link_name(f"{folder}/master"),
        "lower": [file[len("lower_") :] for file in files if file.startswith("lower_")],
        "bond_mode": (host.read(f"{folder}/bonding/mode") or "").partition(" ")[0] or None,
        "active_slave": host.read(f"{folder}/bonding/active_slave") or None,
        "driver": host.link_name(f"{folder}/device/driver"),
        "pci_path": path,
        "numa_node": pci.numa_node(host, f"{folder}/device"),
        "addresses": addresses,
        "default_route": default_route,
    }


def _kind(host: Host, folder: str, files: list[str]) -> str:
    if host.read(f"{folder}/type") == _ARPHRD_LOOPBACK:
        return "loopback"
    if "bonding" in files:
        return "bond"
    if "bridge" in files:
        return "bridge"
    return "physical" if "device" in files else "virtual"


def _addresses(host: Host) -> tuple[dict[str, list[str]], list[str]]:
    result = host.run("ip", "-json", "address", "show")
    if result is None:
        return {}, ["ip (package iproute2) is not installed: no addresses"]
    if result.rc != 0:
        return {}, [f"ip -json address show: {result.message}"]
    try:
        return parse_ip_addresses(result.stdout), []
    except ValueError as error:
        return {}, [f"ip -json address show: {error}"]


def parse_ip_addresses(text: str) -> dict[str, list[str]]:
    """``ip -json address show`` → {interface: ["10.0.0.1/24", ...]}, without IPv6 link-local ones.

    Raises ValueError for what is not its JSON.
    """
    links = json.loads(text)
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise ValueError("a list of interfaces was expected")
    found: dict[str, list[str]] = {}
    for link in links:
        found[str(link.get("ifname"))] = [
            f"{info['local']}/{info.get('prefixlen', 128 if info.get('family') == 'inet6' else 32)}"
            for info in link.get("addr_info") or []
            if isinstance(info, dict)
            and info.get("local")
            and not (info.get("family") == "inet6" and info.get("scope") == "link")
        ]
    return found


def default_route_interfaces(route: str, ipv6_route: str) -> set[str]:
    """Interfaces with a default route, from /proc/net/route and /proc/net/ipv6_route."""
    found = set()
    for line in route.splitlines()[1:]:
        fields = line.split()  # Iface Destination Gateway Flags RefCnt Use Metric Mask ...
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            found.add(fields[0])
    for line in ipv6_route.splitlines():
        fields = line.split()  # destination, prefix length, source, prefix length, next hop, ..., flags, interface
        if len(fields) != 10 or fields[1] != "00" or fields[9] == "lo" or not _HEX.match(fields[8]):
            continue
        if not int(fields[8], 16) & _RTF_REJECT:
            found.add(fields[9])
    return found
