# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of all ranks and the site's policy in, one environment per rank out: ``nccl_env``.

Order of precedence, weakest first: what is derived from facts, the site profile, the user's own environment. The rules
R1 to R13 are explained in docs/nccl.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    FAIL,
    INFO,
    Finding,
    finding,
    unique,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.bootstrap import (
    address_findings,
    bootstrap_interface,
    set_bootstrap,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.draft import Draft
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.fabric import set_fabric
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import lint_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lost import lost_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.nvlink import nvlink_findings, usable
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.policy import Policy, read_policy
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.profile import (
    NEVER_SET,
    PLUGIN_FABRICS,
    RDMA_FABRICS,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.rails import rail_findings, version_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import hca_list, pinned_ports, select_ports
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import default_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, version_text

PER_HOST = frozenset(
    {
        "NCCL_SOCKET_IFNAME",
        "GLOO_SOCKET_IFNAME",
        "TP_SOCKET_IFNAME",
        "NCCL_IB_HCA",
        "NCCL_IB_GID_INDEX",
        "UCX_NET_DEVICES",
        "NVSHMEM_HCA_LIST",
        "NVSHMEM_IB_GID_INDEX",
        "VLLM_HOST_IP",
        "SGLANG_HOST_IP",
    }
)
"""Device names differ per node. Ray copies the head's NCCL_*, UCX_* and VLLM_* to the workers: these must not be."""

TUNING = (
    "NCCL_IB_QPS_PER_CONNECTION",
    "NCCL_IB_TC",
    "NCCL_IB_SL",
    "NCCL_IB_TIMEOUT",
    "NCCL_SOCKET_NTHREADS",
    "NCCL_NVLS_ENABLE",
    "NCCL_CUMEM_ENABLE",
)
"""R9: for one and the same machine (OCI H100) two publishers give 1 and 16 queue pairs; no fact tells who is right."""

CUMEM_HOST_BROKEN: tuple[Version, Version] = ((2, 24), (2, 26, 5))
"""From the first on NCCL allocates host memory by cuMem, which needs the NUMA calls a container without CAP_SYS_NICE is
refused; from the second on it notices by itself. NCCL user guide, "cuMem host allocations"."""


def nccl_env(facts_by_rank: Any, policy: Any = None) -> dict[str, Any]:
    """The environment of every rank, with a reason for each variable.

    ``facts_by_rank``: host → facts, in rank order (shape: the filter's documentation). ``policy``: see ``policy``.
    Returns ``ranks`` (host → ``env``, ``reasons``, ``unset``, ``vendor_script``), ``per_host`` (the variables that must
    not be copied from one node to another) and ``findings``. Bad input gives findings, never an exception.
    """
    site, findings = read_policy(policy)
    if not isinstance(facts_by_rank, Mapping):
        bad = finding(FAIL, "facts-invalid", "facts_by_rank", "is no mapping", "give host → facts, in rank order")
        return {"ranks": {}, "per_host": [], "findings": [bad, *findings]}
    nodes = [read_node(str(host), facts) for host, facts in facts_by_rank.items()]
    derived = [select_ports(n, site.include, site.exclude) for n in nodes]
    pinned = site.user_env.get("NCCL_IB_HCA")
    # a user's own list replaces ours, not what is known of its ports
    chosen = derived if pinned is None else [pinned_ports(n, pinned) for n in nodes]
    versions = [n.nccl_version or site.version for n in nodes]
    settings = {**site.profile.env, **site.user_env}
    nvlink = usable(nodes, settings, versions)
    alone = len(nodes) < 2
    drafts = []
    for node, selection, ours, version in zip(nodes, chosen, derived, versions, strict=True):
        peers = [n.address for n in nodes if n is not node and n.address]
        draft = Draft(node.host)
        if not _foreign(site):
            draft.findings += [*selection.findings, *lost_findings(node, selection, alone=alone or nvlink)]
        set_bootstrap(draft, node, site, peers, alone=alone)
        used = selection if selection.ports else ours
        set_fabric(draft, node, used, site, version, alone=alone, nvlink=nvlink)
        if "NCCL_IB_HCA" in draft.env and ours.ports and not ours.refused:
            draft.set("NCCL_IB_HCA", hca_list(ours, node), draft.reasons["NCCL_IB_HCA"])
        _set_runtime(draft, site, version)
        _set_profile(draft, node, site)
        lint = partial(
            lint_env,
            node=node,
            version=version,
            where="policy.user_env",
            gate_run=site.gate_run,
            peers=[] if alone else peers or None,
            ports=[] if _foreign(site) else selection.ports,
        )
        _set_user(draft, site, lint)
        _explain_rest(draft, version)
        drafts.append(draft)
    if not _foreign(site):
        findings += rail_findings(list(zip(nodes, chosen, strict=True)))
    findings += nvlink_findings(nodes, settings, versions)
    findings += [f for d in drafts for f in d.findings]
    findings += [*address_findings(nodes), *version_findings([(n.host, n.nccl_version) for n in nodes])]
    names = {name for d in drafts for name in d.env}
    return {
        "ranks": {d.host: d.result() for d in drafts},
        "per_host": sorted(names & PER_HOST),
        "findings": unique(findings),
    }


def _foreign(site: Policy) -> bool:
    """Whether no choice of HCAs is used (plugin fabric, RDMA disabled), so that none is judged."""
    return site.profile.fabric in PLUGIN_FABRICS or site.user_env.get("NCCL_IB_DISABLE") == "1"


def _set_runtime(draft: Draft, site: Policy, version: Version | None) -> None:
    """R10's log level, and what the container's rights ask for."""
    if site.gate_run:
        draft.set("NCCL_DEBUG", "INFO", "a gate run must show which network each channel uses")
    else:
        draft.set("NCCL_DEBUG", "WARN", "errors with their cause, and nothing else")
    first, fixed = CUMEM_HOST_BROKEN
    if version and first <= version < fixed and not site.sys_nice:
        draft.set(
            "NCCL_CUMEM_HOST_ENABLE",
            "0",
            f"the container has no CAP_SYS_NICE, and NCCL {version_text(version)} does not notice (2.26.5 does)",
        )


def _set_profile(draft: Draft, node: Node, site: Policy) -> None:
    profile = site.profile
    source = f"site profile {profile.name} ({profile.source})"
    for name, value in profile.env.items():
        if draft.vendor_script:
            draft.leave(name, f"the vendor's script {draft.vendor_script} decides")
        elif name == "NCCL_NET" and profile.fabric in RDMA_FABRICS and not node.hca_names:
            draft.leave(name, f"{value} would keep NCCL from starting: this node has no RDMA device")
        else:
            draft.set(name, value, source)
    for name, why in profile.left_out.items():
        draft.leave(name, f"published for {profile.name}, left out: {why}")
    # UCX over TCP has no use for HCA names
    if "ucx" in site.companions and profile.env.get("UCX_TLS") == "tcp" and (interface := bootstrap_interface(node)):
        draft.set("UCX_NET_DEVICES", interface, "the profile keeps UCX on TCP: the rendezvous interface")


def _set_user(draft: Draft, site: Policy, lint: Callable[[Any], list[Finding]]) -> None:
    draft.findings += lint({name: value for name, value in site.user_env.items() if value is not None})
    for name, value in site.user_env.items():
        derived = draft.env.get(name)
        if value is None:
            draft.remove(name, "you asked for it to stay unset (null in the user environment)")
            continue
        if derived is not None and derived != value:
            draft.findings.append(
                finding(
                    INFO,
                    "overrides-derived",
                    f"policy.user_env.{name}",
                    f"your {value} replaces {derived} ({draft.reasons[name]})",
                    "remove it from the user environment, unless it is meant",
                )
            )
        draft.set(name, value, "set by you in the user environment")
    for name in site.profile.must_not_set:
        if site.user_env.get(name) is not None:
            draft.findings.append(
                finding(
                    FAIL,
                    "profile-forbids",
                    f"policy.user_env.{name}",
                    f"site profile {site.profile.name} forbids it on this fabric",
                    "remove it from the user environment",
                )
            )


def _explain_rest(draft: Draft, version: Version | None) -> None:
    for name, why in NEVER_SET.items():
        draft.leave(name, why)
    if not draft.vendor_script:
        for name in TUNING:
            default = default_of(name, version)
            draft.leave(
                name, f"tuning: comes from a site profile only; NCCL's default is {default or 'its own choice'}"
            )
