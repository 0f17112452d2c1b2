# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVLink beyond one node: rule R14 of docs/nccl.md.

In a rack such as GB200 NVL72 the GPUs of several nodes are one NVLink domain: those with the same cluster UUID and the same
clique id. NCCL uses it by itself where all ranks have finished to join the fabric, cuMem is on and the IMEX channel can be
opened; where the last does not work, it ends with an error. Source: NVIDIA/nccl src/mnnvl.cc, ncclMnnvlCheck (2.30.7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint_values import to_int
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, version_text

SINCE: Version = (2, 21)
"""First release with NCCL_MNNVL_ENABLE: data/nccl_variables.json."""
JOINED = "Completed"


def clique_of(node: Node) -> str:
    """Cluster UUID and clique id that all GPUs of the node have; "" where there is no fabric, or they differ."""
    cliques = {gpu.clique for gpu in node.gpus}
    return cliques.pop() if len(cliques) == 1 else ""


def joined(nodes: Sequence[Node]) -> bool:
    """Whether the GPUs of all these nodes are in one NVLink domain that leaves the node."""
    cliques = {clique_of(node) for node in nodes}
    return len(nodes) > 1 and len(cliques) == 1 and "" not in cliques


def domain(facts: Sequence[Mapping[str, Any]]) -> int:
    """GPUs of the largest NVLink domain among nodes, by the facts of gpu_info; 0 where none leaves its node."""
    nodes = [read_node("", one) for one in facts]
    sizes = {c: sum(len(n.gpus) for n in nodes if clique_of(n) == c) for c in map(clique_of, nodes) if c}
    several = {c: size for c, size in sizes.items() if sum(clique_of(n) == c for n in nodes) > 1}
    return max(several.values(), default=0)


def nvlink_findings(
    nodes: Sequence[Node], env: Mapping[str, str | None], versions: Sequence[Version | None]
) -> list[Finding]:
    """What is known of the NVLink domains of a deployment, and what stands in the way of one.

    ``env``: what site and user set. ``versions``: NCCL of each node.
    """
    if len(nodes) < 2 or not any(clique_of(n) for n in nodes):
        return []
    members: dict[str, list[str]] = {}
    for node in nodes:
        members.setdefault(clique_of(node), []).append(node.host)
    if not joined(nodes):
        shown = "; ".join(f"{', '.join(hosts)}: {clique or 'none'}" for clique, hosts in members.items())
        text = f"the nodes are not one NVLink domain (cluster UUID/clique id): {shown}"
        remedy = "traffic between them takes RDMA; choose nodes of one clique where NVLink is meant"
        return [finding(WARN if len(members) > 1 else INFO, "nvlink-domains-differ", "gpus", text, remedy)]
    gpus = sum(len(n.gpus) for n in nodes)
    text = f"the {gpus} GPUs of {len(nodes)} nodes are one NVLink domain ({clique_of(nodes[0])})"
    blocked = _blocked(nodes, env, versions)
    if blocked:
        return blocked
    note = "needs IMEX on all of them: nvidia-imex-ctl -N shows its state"
    return [finding(INFO, "nvlink-domain", "gpus", f"{text}; NCCL uses it by itself", note)]


def usable(nodes: Sequence[Node], env: Mapping[str, str | None], versions: Sequence[Version | None]) -> bool:
    """Whether NCCL will use NVLink between all these nodes, as far as facts and settings tell."""
    return joined(nodes) and not _blocked(nodes, env, versions)


def _blocked(nodes: Sequence[Node], env: Mapping[str, str | None], versions: Sequence[Version | None]) -> list[Finding]:
    found = []
    for name, value, why in (
        ("NCCL_MNNVL_ENABLE", 0, "turns NVLink between nodes off"),
        ("NCCL_CUMEM_ENABLE", 0, "turns cuMem off, without which there is no NVLink between nodes"),
    ):
        if to_int(env.get(name) or "") == value:
            text = f"{name}={value} {why}; the nodes are one NVLink domain"
            found.append(finding(WARN, "nvlink-off", name, text, "remove it, unless RDMA is meant"))
    for node, version in zip(nodes, versions, strict=True):
        if version and version < SINCE:
            text = f"NCCL {version_text(version)} has no NVLink between nodes (since {version_text(SINCE)})"
            found.append(finding(WARN, "nvlink-old-nccl", f"{node.host}.nccl_version", text, "use a newer image"))
        waiting = sorted({g.fabric_state for g in node.gpus if g.fabric_state and g.fabric_state != JOINED})
        if waiting:
            text = f"GPUs have not joined the NVLink fabric: state {', '.join(waiting)}"
            remedy = "check the fabric manager of the rack and nvidia-imex (nvidia-smi -q, section Fabric)"
            found.append(finding(WARN, "nvlink-not-joined", f"{node.host}.gpus", text, remedy))
        elif node.imex_channels is not None and not node.imex_channels:
            text = (
                'no IMEX channel in /dev/nvidia-caps-imex-channels: NCCL ends with "MNNVL is available but not working"'
            )
            remedy = "run the role nvidia_driver with nvidia_driver_imex_nodes, or set NCCL_MNNVL_ENABLE to 0 for RDMA"
            found.append(finding(FAIL, "imex-channel-missing", f"{node.host}.imex_channels", text, remedy))
    return found
