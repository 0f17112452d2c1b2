# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is set on a node's fabric cards, the PCI tree and the stack, judged. Findings, never changes.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    Finding,
    failed,
    passed,
    skipped,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci, pci_topology
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import gpu
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import facts as rdma_facts
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import stack
from ansible_collections.fullrank.serving.plugins.module_utils.rdma.node import Node

# An RDMA path MTU of 4096 bytes and its headers (NVIDIA: "RoCE v2 considerations") fit into this Ethernet MTU.
ROCE_MTU = 4200
_PCI_EXPRESS = 0x10  # capability id, PCI Express Base Specification 7.5.3; device control is 8 bytes into it
_RELAXED = 1 << 4
# the packages of RHEL bring modules for the kernels of its releases only (DOCA Installation Guide for Linux)
_BUILD = {
    "debian": "dkms status; the build for this kernel failed",
    "redhat": (
        "this kernel is not one of the release's: dnf install doca-extra, run /opt/mellanox/doca/tools/doca-kernel-support, "
        "and install the repository package that it makes"
    ),
}


def run(host: Host, node: Node, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """``{"checks": [...], "node": {...}}``: the shape of the preflight, so that one report can be made of all nodes."""
    facts = gpu.collect(host)
    ethernet = sorted(
        {
            netdev
            for hca in node.hcas
            for port in hca["ports"]
            if port["link_layer"] == "Ethernet"
            for netdev in hca["netdevs"]
        }
    )
    qos = {name: parse_mlnx_qos(result.stdout) for name, result in _mlnx_qos(host, ethernet).items()}
    classes = {hca["name"]: _classes(host, hca) for hca in node.hcas}
    relaxed = {hca["name"]: relaxed_ordering(_config(host, hca)) for hca in node.hcas if hca["pci_address"]}
    checks = [
        *(announced(wanted) if wanted["announced"] else [*check_stack(node, wanted), *check_modules(node, wanted)]),
        *check_memlock(node),
        check_ports(node),
        check_mtu(node, ethernet),
        check_qos(qos, ethernet),
        check_relaxed(relaxed, facts["virtual_machine"]),
        *pci_topology.check_pci(host, facts, {"rdma": True}),
    ]
    return {"checks": checks, "node": _comparable(node, ethernet, qos, classes, relaxed)}


def announced(wanted: Mapping[str, Any]) -> list[Finding]:
    """In the place of the checks that a stack answers which is only announced."""
    return [skipped("stack", "packages", f"{wanted['source']} would be installed first")]


def check_stack(node: Node, wanted: Mapping[str, Any]) -> list[Finding]:
    source = wanted["source"]
    if node.stack.kind != source:
        message = f"{node.stack.kind or 'nothing'} is installed, {source} is wanted"
        return [failed("stack", "ofed_info -s", message, "read the log of its installation")]
    checks = [
        passed("stack", "ofed_info -s" if source != stack.INBOX else "rdma-core", f"{source} {node.stack.version}")
    ]
    if source not in stack.OUT_OF_TREE:
        return checks
    if not node.openibd.startswith("active"):
        message = f"openibd is {node.openibd or 'absent'}"
        checks.append(
            failed("openibd", "openibd.service", message, "systemctl status openibd; reboot after an installation")
        )
    else:
        checks.append(passed("openibd", "openibd.service", node.openibd))
    outside = re.search(r"/(updates|extra|weak-updates)/", node.module_file)
    if node.module_file and not outside:
        message = f"mlx5_core is the kernel's own ({node.module_file}), although {source} is installed"
        checks.append(failed("module-origin", "modinfo mlx5_core", message, _BUILD[stack.family(node.release)]))
    elif outside:
        checks.append(passed("module-origin", "modinfo mlx5_core", node.module_file))
    return checks


def check_modules(node: Node, wanted: Mapping[str, Any]) -> list[Finding]:
    missing = [name for name in wanted["modules"] if name.replace("-", "_") not in node.loaded]
    if missing:
        remedy = "modprobe -a " + " ".join(missing) + ", and read the kernel's log (dmesg)"
        if "nvidia_peermem" in missing:
            remedy += "; 'Invalid argument' or unknown symbols: rebuild the driver's modules (dkms) after OFED"
        return [failed("modules", "/sys/module", f"not loaded: {', '.join(missing)}", remedy)]
    return [passed("modules", "/sys/module", f"loaded: {', '.join(wanted['modules'])}")]


def check_memlock(node: Node) -> list[Finding]:
    if node.memlock_manager == "infinity":
        return [passed("memlock", "DefaultLimitMEMLOCK", "services may lock all memory")]
    message = f"services may lock {node.memlock_manager or 'an unknown number of'} bytes"
    return [
        warned("memlock", "DefaultLimitMEMLOCK", message, "systemctl daemon-reload, when no container depends on it")
    ]


def check_ports(node: Node) -> Finding:
    ports = [(f"{hca['name']}:{port['port']}", port["state"]) for hca in node.hcas for port in hca["ports"]]
    up = [name for name, state in ports if state == "ACTIVE"]
    if up:
        return passed("ports", "/sys/class/infiniband", f"{len(up)} of {len(ports)} ports ACTIVE", up=up)
    remedy = "check cables and switch ports; on InfiniBand the subnet manager; after an installation reboot"
    return failed("ports", "/sys/class/infiniband", f"none of {len(ports)} ports is ACTIVE", remedy)


def check_mtu(node: Node, ethernet: list[str]) -> Finding:
    small = {
        one["name"]: one["mtu"] for one in node.netdevs if one["name"] in ethernet and (one["mtu"] or 0) < ROCE_MTU
    }
    if not ethernet:
        return skipped("roce-mtu", "interfaces", "no RoCE interface")
    if small:
        shown = ", ".join(f"{name} {mtu}" for name, mtu in small.items())
        remedy = "set 9000 on the interfaces and on the switches: RDMA then uses packets of 4096 bytes instead of 1024"
        return warned("roce-mtu", ", ".join(small), f"small for RoCE: {shown}", remedy)
    return passed("roce-mtu", "interfaces", f"at least {ROCE_MTU} on {len(ethernet)} RoCE interfaces")


def parse_mlnx_qos(text: str) -> dict[str, Any]:
    """``mlnx_qos -i INTERFACE`` → ``trust`` (pcp, dscp or empty) and ``pfc``, the priorities with flow control."""
    trust = re.search(r"^Priority trust state:\s*(\w+)", text, re.MULTILINE)
    block = re.search(r"^PFC configuration:\s*\n\s*priority((?:\s+\d)+)\s*\n\s*enabled((?:\s+\d)+)", text, re.MULTILINE)
    pairs = zip(block[1].split(), block[2].split()) if block else ()  # noqa: B905 - strict is not known to Python 3.9
    return {"trust": trust[1] if trust else "", "pfc": [int(priority) for priority, on in pairs if on != "0"]}


def check_qos(qos: Mapping[str, Mapping[str, Any]], ethernet: list[str]) -> Finding:
    """RoCE over a lossy network needs flow control or ECN; the usual and recommended form is trust by DSCP and one lossless
    priority (NVIDIA, "Recommended network configuration examples for RoCE deployment")."""
    code, where = "roce-qos", "mlnx_qos -i"
    if not ethernet:
        return skipped(code, where, "no RoCE interface")
    if not qos:
        return skipped(
            code,
            where,
            "mlnx_qos is not installed (it comes with OFED)",
            "compare the interfaces by hand: dcb pfc show",
        )
    odd = [
        f"{name}: trust {one['trust'] or 'unknown'}, flow control on {one['pfc'] or 'no priority'}"
        for name, one in qos.items()
        if one["trust"] != "dscp" or len(one["pfc"]) != 1
    ]
    if odd:
        remedy = "mlnx_qos -i INTERFACE --trust=dscp --pfc=0,0,0,1,0,0,0,0, the same on all nodes, and what the switches expect"
        return warned(code, ", ".join(qos), "; ".join(odd), remedy)
    return passed(code, ", ".join(qos), "trust by DSCP, flow control on one priority")


def _mlnx_qos(host: Host, ethernet: list[str]) -> dict[str, Any]:
    results = host.run_all([("mlnx_qos", "-i", name) for name in ethernet])
    return {name: one for name, one in zip(ethernet, results) if one and one.rc == 0}  # noqa: B905 - Python 3.9


def _classes(host: Host, hca: Mapping[str, Any]) -> list[str]:
    """The traffic class that a card was given for all, and the type of service of the connection manager (``cma_roce_tos``)."""
    forced = host.read(f"{rdma_facts.INFINIBAND}/{hca['name']}/tc/1/traffic_class")
    by_manager = (
        host.read(f"/sys/kernel/config/rdma_cm/{hca['name']}/ports/{port['port']}/default_roce_tos")
        for port in hca["ports"]
    )
    return [*filter(None, [forced]), *(f"connection manager {value}" for value in by_manager if value)]


def _config(host: Host, hca: Mapping[str, Any]) -> bytes:
    return host.read_bytes(f"{pci.DEVICES}/{hca['pci_address']}/config") or b""


def relaxed_ordering(config: bytes) -> bool | None:
    """Whether a function may mark its writes as relaxed (device control, bit 4); None where it cannot be read.

    Walks the capability list (status bit 4, pointer at 0x34; PCI Local Bus Specification 6.7).
    """
    if len(config) < 64 or not config[6] & 0x10:
        return None
    offset, seen = config[0x34] & 0xFC, set()
    while 0x40 <= offset <= len(config) - 10 and offset not in seen:
        seen.add(offset)
        if config[offset] == _PCI_EXPRESS:
            return bool(int.from_bytes(config[offset + 8 : offset + 10], "little") & _RELAXED)
        offset = config[offset + 1] & 0xFC
    return None


def check_relaxed(relaxed: Mapping[str, bool | None], guest: bool) -> Finding:
    code, where = "relaxed-ordering", "PCI device control"
    off = [name for name, on in relaxed.items() if on is False]
    if off:
        remedy = "enable it in the firmware's PCI settings; in a guest set NCCL_IB_PCI_RELAXED_ORDERING=1 as its cloud documents"
        return warned(code, ", ".join(off), "PCI writes are strictly ordered", remedy)
    if not any(relaxed.values()):
        why = "a guest does not see it" if guest else "the configuration space could not be read"
        return skipped(code, where, why)
    return passed(code, where, "on")


def _comparable(
    node: Node,
    ethernet: list[str],
    qos: Mapping[str, Mapping[str, Any]],
    classes: Mapping[str, list[str]],
    relaxed: Mapping[str, bool | None],
) -> dict[str, Any]:
    """What must be equal on all nodes; compared by the filter ``rdma_report``."""
    mtus = sorted({str(one["mtu"]) for one in node.netdevs if one["name"] in ethernet})
    return {
        "stack": f"{node.stack.kind} {node.stack.version}".strip(),
        "kernel": node.kernel,
        "cards": sorted(f"{hca['hca_type']} firmware {hca['fw_ver']}" for hca in node.hcas if hca["hca_type"]),
        "ports": sorted(
            f"{port['link_layer']} {port['rate_gbps']:g} Gbit/s"
            for hca in node.hcas
            for port in hca["ports"]
            if port["state"] == "ACTIVE" and port["rate_gbps"]
        ),
        "roce_mtu": mtus,
        "qos": sorted({f"trust {one['trust']}, flow control on {one['pfc']}" for one in qos.values()}),
        "traffic_class": sorted({one for ones in classes.values() for one in ones}),
        "relaxed_ordering": sorted({str(one) for one in relaxed.values() if one is not None}),
        "active": [
            {"device": hca["name"], "port": port["port"], "gbps": port["rate_gbps"] or 0}
            for hca in node.hcas
            for port in hca["ports"]
            if port["state"] == "ACTIVE"
        ],
    }
