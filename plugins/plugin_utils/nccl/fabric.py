# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the RDMA fabric, or of sockets where there is none: rules R6, R8, R11 to R13 of docs/nccl.md."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.bootstrap import bootstrap_interface
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import nearest_in_gpu_order
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.draft import Draft
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.gid import choose_gid, common_index, has_index
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint_values import to_int
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.policy import Policy
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.profile import PLUGIN_FABRICS, RDMA_FABRICS
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import Selection, dropped_text, hca_list
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import GID_AUTOSELECT, Version, version_text

FAST_SOCKETS_MBPS = 100_000
FAST_SOCKETS = {"NCCL_SOCKET_NTHREADS": "4", "NCCL_NSOCKS_PERTHREAD": "4"}
"""NVIDIA's hint for 100 Gbit/s networks; the product must not exceed 64. NCCL user guide, NCCL_SOCKET_NTHREADS."""


def set_fabric(
    draft: Draft, node: Node, chosen: Selection, policy: Policy, version: Version | None, *, alone: bool, nvlink: bool
) -> None:
    """Decide between vendor script, plugin, RDMA and sockets, and set what follows.

    ``alone``: the deployment has one node. ``nvlink``: NVLink joins all its nodes (`nvlink`).
    """
    profile = policy.profile
    script = profile.vendor_script
    # a script for RDMA on a machine without RDMA devices keeps NCCL from starting (R13)
    possible = bool(node.hca_names) or profile.fabric in PLUGIN_FABRICS
    if script and possible and script in node.vendor_scripts:
        draft.vendor_script = script
        _leave_all(draft, f"the vendor's script {script} sets what it needs; source it before the engine starts")
    elif profile.fabric in PLUGIN_FABRICS:
        _leave_all(
            draft, f"{profile.fabric} is reached by a network plugin; NCCL's own RDMA transport has no part in it"
        )
    elif policy.user_env.get("NCCL_IB_DISABLE") == "1":
        _leave_all(draft, "you disabled RDMA (NCCL_IB_DISABLE=1 in the user environment)")
        if chosen.ports and not alone and not nvlink:
            unused = sum(p.rate_gbps for p in chosen.ports)
            draft.find(
                WARN,
                "rdma-unused",
                "hcas",
                f"RDMA is disabled by you; {len(chosen.ports)} usable port(s), {unused:g} Gbit/s of this node, stay idle",
                "remove NCCL_IB_DISABLE from the user environment, unless sockets are meant",
            )
    elif not node.has_rdma_facts and node.declared:
        _leave_all(draft, "the HCAs are found on the node at the start; none are declared")
        message, remedy = "the HCAs are not declared, so the plan cannot name them", "declare engine_hardware.hcas"
        draft.findings.append(finding(INFO, "fabric-undeclared", "engine_hardware", message, remedy))
    elif not node.has_rdma_facts:
        _leave_all(draft, "the facts say nothing about RDMA devices")
        severity = INFO if alone or nvlink else FAIL
        draft.find(severity, "facts-missing", "hcas", "no RDMA facts of this node", "run the module rdma_info first")
    elif chosen.refused:
        _leave_all(draft, chosen.refused)
    elif chosen.ports:
        _set_rdma(draft, node, chosen, policy, version)
    else:
        _set_sockets(draft, node, policy, alone=alone, nvlink=nvlink)
    if script and possible and not draft.vendor_script:
        draft.find(
            WARN,
            "vendor-script-missing",
            "vendor_scripts",
            f"the vendor's script {script} is not there; the values of profile {profile.name} stand in for it",
            "install the vendor's NCCL package in the image",
        )


def _leave_all(draft: Draft, why: str) -> None:
    for name in ("NCCL_IB_HCA", "NCCL_IB_GID_INDEX", "NCCL_IB_DISABLE"):
        draft.leave(name, why)


def _set_rdma(draft: Draft, node: Node, chosen: Selection, policy: Policy, version: Version | None) -> None:
    ports = chosen.ports
    out = dropped_text(chosen)
    kind = "InfiniBand" if ports[0].link_layer == "InfiniBand" else "RoCE"
    reason = f"the {len(ports)} {kind} port(s) of {ports[0].rate_gbps:g} Gbit/s for the GPUs, exact names (=)"
    draft.set("NCCL_IB_HCA", hca_list(chosen, node), reason + (f"; {out}" if out else ""))
    draft.leave("NCCL_IB_DISABLE", "0 is NCCL's default, and RDMA is there")
    if policy.gate_run and "NCCL_NET" not in policy.profile.env:
        why = "an assertion for this gate run: without RDMA it fails instead of falling back to sockets in silence"
        draft.set("NCCL_NET", "IB", why)
    _set_gid(draft, node, ports, policy, version)
    if "ucx" in policy.companions:
        draft.set("UCX_NET_DEVICES", _with_ports(ports), "the same ports for UCX, which wants name:port")
    if "nvshmem" in policy.companions:
        _set_nvshmem(draft, node, ports)


def _with_ports(ports: Sequence[Port]) -> str:
    return ",".join(p.label for p in ports)


def _set_gid(draft: Draft, node: Node, ports: Sequence[Port], policy: Policy, version: Version | None) -> None:
    name = "NCCL_IB_GID_INDEX"
    if node.declared and ports[0].link_layer == "Ethernet":
        own = version is None or version >= GID_AUTOSELECT
        draft.leave(name, "NCCL selects it (since 2.21)" if own else "read from the node's GID tables at the start")
        return
    choice = choose_gid(draft.host, ports, version)
    if name in policy.profile.must_not_set:
        draft.leave(name, f"site profile {policy.profile.name}: it breaks this fabric")
    elif choice.index is not None:
        draft.set(
            name,
            str(choice.index),
            f"NCCL {version_text(version)} cannot select it; the {choice.family} RoCE v2 entry of every port used",
        )
    else:
        draft.leave(name, choice.why)
        # a pin changes no fact: it helps only where every port has an entry at that index
        index = to_int(policy.user_env.get(name) or "")
        helped = index is not None and index >= 0 and has_index(ports, index)
        draft.findings += [{**f, "severity": WARN} if helped else f for f in choice.findings]
    if choice.family == "AF_INET6" and choice.index is None:
        draft.set("NCCL_IB_ADDR_FAMILY", "AF_INET6", "the RoCE ports have IPv6 addresses only; NCCL looks for IPv4")


def _set_nvshmem(draft: Draft, node: Node, ports: Sequence[Port]) -> None:
    """NVSHMEM deals the list out to the GPUs in turn when mapping is on: right only with one NIC per GPU."""
    by_hca = {p.hca: p for p in ports}
    ordered = [by_hca[h] for h in nearest_in_gpu_order(node, tuple(by_hca))]
    draft.set(
        "NVSHMEM_HCA_LIST", _with_ports(ordered), "the same ports for NVSHMEM, in the order of the GPUs beside them"
    )
    if len(by_hca) == len(ports) == len(node.gpus):
        draft.set("NVSHMEM_ENABLE_NIC_PE_MAPPING", "1", "one NIC per GPU: GPU i uses the i-th of the list")
    else:
        draft.leave("NVSHMEM_ENABLE_NIC_PE_MAPPING", "not one NIC per GPU: NVSHMEM takes the nearest by itself")
    index = common_index(ports, "AF_INET") if ports[0].link_layer == "Ethernet" else None
    if index is not None:
        draft.set("NVSHMEM_IB_GID_INDEX", str(index), "the RoCE v2 IPv4 entry of every port used")
    else:
        draft.leave("NVSHMEM_IB_GID_INDEX", "InfiniBand, or no RoCE v2 IPv4 entry common to all ports")


def _set_sockets(draft: Draft, node: Node, policy: Policy, *, alone: bool, nvlink: bool) -> None:
    draft.set("NCCL_IB_DISABLE", "1", "no usable RDMA port: set explicitly, so that NCCL does not search for one")
    _leave_all(draft, "no usable RDMA port")
    if policy.profile.fabric in RDMA_FABRICS:
        draft.find(
            FAIL,
            "rdma-expected",
            "hcas",
            f"site profile {policy.profile.name} is for {policy.profile.fabric}, but no usable RDMA port is here",
            "check driver, cables and port state (rdma link), or take the profile away",
        )
    elif nvlink:
        message = "no usable RDMA port; the GPUs of all nodes talk over NVLink, sockets are for the rendezvous only"
        draft.find(INFO, "no-rdma", "hcas", message, "nothing to do while all nodes are in one NVLink domain")
    elif not alone:
        draft.find(
            WARN,
            "no-rdma",
            "hcas",
            "no usable RDMA port: the GPUs of different nodes will talk over TCP sockets, many times slower",
            "fine for a test; else install the RDMA driver and check the ports (rdma link)",
        )
    netdev = node.netdevs.get(bootstrap_interface(node))
    decided = FAST_SOCKETS.keys() & {*policy.profile.env, *policy.user_env}
    if netdev and netdev.speed_mbps >= FAST_SOCKETS_MBPS and not decided:
        for name, value in FAST_SOCKETS.items():
            draft.set(name, value, f"sockets over {netdev.speed_mbps // 1000} Gbit/s: one thread cannot fill the link")
