# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``rdma_info`` and ``gpu_info`` report of one node, as values the rules can trust.

The reader never raises: a fact that is missing or of another type than documented becomes its empty value. Whether that
is a problem is for the rules to say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, parse_version

IPV4_MAPPED = ipaddress.ip_network("::ffff:0:0/96")


@dataclass(frozen=True)
class Gid:
    """One entry of a port's GID table. ``type`` as in sysfs: "RoCE v1", "RoCE v2" or "IB" (sysfs: "IB/RoCE v1")."""

    index: int
    gid: str
    type: str
    netdev: str

    @property
    def address(self) -> ipaddress.IPv6Address | None:
        try:
            return ipaddress.IPv6Address(self.gid)
        except ValueError:
            return None

    @property
    def family(self) -> str:
        """``AF_INET`` (IPv4-mapped), ``AF_INET6``, or "" where the GID cannot be routed: empty or link-local.

        Source: NCCL src/transport/net_ib/connect.cc, getGidAddrFamily and validGid.
        """
        address = self.address
        if address is None or int(address) == 0 or address.is_link_local:
            return ""
        return "AF_INET" if address in IPV4_MAPPED else "AF_INET6"


@dataclass(frozen=True)
class Hca:
    """A host channel adapter, one entry of /sys/class/infiniband. ``unfit``: why it is none for GPU traffic, or ""."""

    name: str
    pci_address: str
    pci_path: tuple[str, ...]
    numa_node: int
    is_vf: bool
    netdevs: tuple[str, ...]
    port_count: int
    unfit: str

    @property
    def rail_key(self) -> tuple[Any, ...]:
        """Sort key: the PCI address, NCCL's own device order since 2.29.7 (NCCL_IB_DEVICE_PCI_ORDER), then the name."""
        domain, _unused, rest = self.pci_address.partition(":")
        numbers = [domain, *rest.replace(".", ":").split(":")]
        try:
            return (0, tuple(int(n, 16) for n in numbers), natural(self.name))
        except ValueError:
            return (1, (), natural(self.name))


@dataclass(frozen=True)
class Port:
    """One port of an HCA. ``rate_gbps`` in Gbit/s; ``link_layer`` "Ethernet" (RoCE) or "InfiniBand"."""

    hca: Hca
    number: int
    state: str
    phys_state: str
    rate_gbps: float
    link_layer: str
    gids: tuple[Gid, ...]

    @property
    def label(self) -> str:
        return f"{self.hca.name}:{self.number}"

    @property
    def is_addressed(self) -> bool:
        """Whether a RoCE port has a GID that others can reach: RoCE v2 of an IP address."""
        return any(g.type == "RoCE v2" and g.family for g in self.gids)

    @property
    def netdevs(self) -> frozenset[str]:
        """The network devices of this port: by its GIDs where the HCA has several ports, else the HCA's own."""
        by_gid = {g.netdev for g in self.gids if g.netdev}
        return frozenset(by_gid if by_gid and self.hca.port_count > 1 else by_gid | set(self.hca.netdevs))


@dataclass(frozen=True)
class Netdev:
    """A network device. ``speed_mbps`` in Mbit/s, 0 where the kernel does not say; ``mtu`` in bytes."""

    name: str
    mtu: int
    speed_mbps: int
    master: str
    lower: tuple[str, ...]
    kind: str
    addresses: tuple[str, ...]
    default_route: bool
    bond_mode: str = ""
    active_slave: str = ""

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The IP networks of its addresses."""
        return tuple(i.network for i in self.interfaces)

    @property
    def interfaces(self) -> tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...]:
        found = []
        for address in self.addresses:
            try:
                found.append(ipaddress.ip_interface(address))
            except ValueError:
                continue
        return tuple(found)


@dataclass(frozen=True)
class Gpu:
    """``clique``: cluster UUID and clique id of the NVLink fabric, or "" where it does not leave the node.
    ``fabric_state``: as nvidia-smi prints it ("Completed", "In Progress"), "" where unknown."""

    name: str
    pci_path: tuple[str, ...]
    numa_node: int
    compute_capability: tuple[int, ...]
    clique: str = ""
    fabric_state: str = ""


@dataclass(frozen=True)
class Node:
    """One rank's node.

    ``topology``: HCA name → distance to each GPU in GPU order, as ``nvidia-smi topo -m`` prints it; may be empty.
    ``declared``: the facts are what the inventory declares, before the node was asked.
    ``imex_channels``: names of the devices in /dev/nvidia-caps-imex-channels; None where the facts do not tell.
    ``has_rdma_facts``: whether the facts speak of HCAs at all; an empty list means "none", a missing key "not asked".
    """

    host: str
    ports: tuple[Port, ...]
    hca_names: tuple[str, ...]
    netdevs: Mapping[str, Netdev]
    gpus: tuple[Gpu, ...]
    interface: str
    address: str
    virtual_machine: bool
    topology: Mapping[str, tuple[str, ...]]
    vendor_scripts: frozenset[str]
    nccl_version: Version | None
    has_rdma_facts: bool
    imex_channels: tuple[str, ...] | None = None
    declared: bool = False

    def upward(self, name: str) -> tuple[str, ...]:
        """``name`` and the devices built upon it (bond, bridge, VLAN), nearest first."""
        found, waiting = [name], [name]
        while waiting:
            below = waiting.pop(0)
            own = self.netdevs.get(below)
            above = [n.name for n in self.netdevs.values() if below in n.lower]
            for device in [own.master, *above] if own and own.master else above:
                if device not in found:
                    found.append(device)
                    waiting.append(device)
        return tuple(found)


_DEVICE = re.compile(r"[\w.-]+", re.ASCII)
"""How the kernel names RDMA devices; other characters have a meaning in NCCL_IB_HCA or in a shell."""


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts mlx5_2 before mlx5_10."""
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split("([0-9]+)", name))


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _number(value: Any, default: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return default
    try:
        return int(value)
    except ValueError:
        return default


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        rate = float(value)
    except ValueError:
        return 0.0
    return rate if 0.0 <= rate < 1e6 else 0.0


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in _list(value) if isinstance(v, Mapping)]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(t for t in map(_text, _list(value)) if t)


def _state(value: Any) -> str:
    """sysfs writes ``4: ACTIVE``; the facts carry the word."""
    return _text(value).rpartition(":")[2].strip().upper()


def _unfit(raw: Mapping[str, Any]) -> str:
    if raw.get("nvswitch_management") is True:
        return "management port of an NVSwitch"
    if _text(raw.get("node_type")) == "RNIC":
        return "iWARP adapter: NCCL speaks InfiniBand and RoCE"
    if "pci_address" in raw and raw["pci_address"] is None:
        return "software device (rxe, siw) without hardware behind it"
    return ""


def _topology(value: Any) -> dict[str, tuple[str, ...]]:
    """The ``links`` of gpu_info's ``topology``, turned round: HCA → distances in GPU order."""
    links = value.get("links") if isinstance(value, Mapping) else None
    if not isinstance(links, Mapping):
        return {}
    rows = [
        row for _unused, row in sorted(links.items(), key=lambda kv: natural(str(kv[0]))) if isinstance(row, Mapping)
    ]
    devices = dict.fromkeys(str(name) for row in rows for name in row if not str(name).startswith("GPU"))
    return {device: tuple(_text(row.get(device)) for row in rows) for device in devices}


def _ports(raw: Mapping[str, Any]) -> list[Port]:
    raw_ports = _dicts(raw.get("ports"))
    hca = Hca(
        name=_text(raw.get("name")),
        pci_address=_text(raw.get("pci_address")),
        pci_path=_texts(raw.get("pci_path")),
        numa_node=_number(raw.get("numa_node"), -1),
        is_vf=raw.get("is_vf") is True,
        netdevs=_texts(raw.get("netdevs")),
        port_count=len(raw_ports),
        unfit=_unfit(raw),
    )
    return [
        Port(
            hca=hca,
            number=_number(p.get("port"), 1),
            state=_state(p.get("state")),
            phys_state=_state(p.get("phys_state")),
            rate_gbps=_rate(p.get("rate_gbps")),
            link_layer=_text(p.get("link_layer")),
            gids=tuple(
                Gid(_number(g.get("index"), -1), _text(g.get("gid")), _text(g.get("type")), _text(g.get("netdev")))
                for g in _dicts(p.get("gids"))
            ),
        )
        for p in raw_ports
    ]


def _netdev(raw: Mapping[str, Any]) -> Netdev:
    return Netdev(
        name=_text(raw.get("name")),
        mtu=_number(raw.get("mtu")),
        speed_mbps=_number(raw.get("speed_mbps")),
        master=_text(raw.get("master")),
        lower=_texts(raw.get("lower")),
        kind=_text(raw.get("kind")),
        addresses=_texts(raw.get("addresses")),
        default_route=raw.get("default_route") is True,
        bond_mode=_text(raw.get("bond_mode")),
        active_slave=_text(raw.get("active_slave")),
    )


def _clique(raw: Mapping[str, Any]) -> str:
    """NCCL takes a cluster UUID of zeros for "no fabric beyond the node" (HGX with its own NVSwitches): src/mnnvl.cc."""
    uuid, clique = _text(raw.get("fabric_cluster_uuid")), _text(raw.get("fabric_clique_id"))
    return f"{uuid}/{clique}" if uuid.strip("0-") and clique else ""


def read_node(host: str, facts: Any) -> Node:
    """The facts of one node. ``facts``: the merged results of ``rdma_info`` and ``gpu_info`` plus ``rendezvous``."""
    raw: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}
    rendezvous = raw.get("rendezvous") if isinstance(raw.get("rendezvous"), Mapping) else {}
    hcas = [h for h in _dicts(raw.get("hcas")) if _DEVICE.fullmatch(_text(h.get("name")))]
    netdevs = [_netdev(n) for n in _dicts(raw.get("netdevs"))]
    return Node(
        host=host,
        ports=tuple(port for h in hcas for port in _ports(h)),
        hca_names=tuple(_text(h.get("name")) for h in hcas),
        netdevs={n.name: n for n in netdevs if n.name},
        gpus=tuple(
            Gpu(
                name=_text(g.get("name")),
                pci_path=_texts(g.get("pci_path")),
                numa_node=_number(g.get("numa_node"), -1),
                compute_capability=numbers(g.get("compute_capability")),
                clique=_clique(g),
                fabric_state=_text(g.get("fabric_state")).removesuffix("N/A"),
            )
            for g in _dicts(raw.get("gpus"))
        ),
        interface=_text(rendezvous.get("interface")) if isinstance(rendezvous, Mapping) else "",
        address=_text(rendezvous.get("address")) if isinstance(rendezvous, Mapping) else "",
        virtual_machine=raw.get("virtual_machine") is True,
        topology=_topology(raw.get("topology")),
        vendor_scripts=frozenset(_texts(raw.get("vendor_scripts"))),
        nccl_version=parse_version(raw.get("nccl_version")),
        has_rdma_facts=isinstance(raw.get("hcas"), list | tuple),
        declared=raw.get("declared") is True,
        imex_channels=_texts(raw["imex_channels"]) if isinstance(raw.get("imex_channels"), list | tuple) else None,
    )
