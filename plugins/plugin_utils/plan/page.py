# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a deployment as data for programs, and as a page for people. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, lines, unique
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan import shown

SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


def plan_data(
    deployment: str, hosts: Sequence[str], results: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything known of a deployment before it starts.

    hosts: in rank order. results: per host what the role registered (``__engine_facts``, ``engine_rendezvous``,
    ``engine_command``; on the head also ``__engine_plan``). settings: ``engine``, ``engine_version``, ``model``,
    ``endpoint`` (for clients), ``routers`` (the url of each), ``head_url`` and the parallel sizes.
    """
    shared = results[0].get("__engine_plan", {})
    ranks = [_rank(rank, host, result, shared) for rank, (host, result) in enumerate(zip(hosts, results, strict=True))]
    found: list[Finding] = [*results[0].get("engine_rendezvous", {}).get("findings", []), *shared.get("findings", [])]
    for result in results:
        found += result.get("engine_command", {}).get("launch", {}).get("findings", [])
    return {
        "deployment": deployment,
        **settings,
        "ranks": ranks,
        "fit": shared.get("fit") or {},
        "proposal": shared.get("proposal") or {},
        "findings": unique(found),
    }


def _rank(rank: int, host: str, result: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    launch = result.get("engine_command", {}).get("launch", {})
    place = result.get("engine_rendezvous", {})
    nccl = (shared.get("nccl") or {}).get("ranks", {}).get(host, {})
    return {
        "rank": rank,
        "host": host,
        "reported": "candidates" in result.get("__engine_facts", {}),
        "address": place.get("address", ""),
        "interface": place.get("interface", ""),
        "argv": shown.words(launch.get("argv", [])),
        "env": shown.values(launch.get("env", {})),
        "command": shown.line(launch.get("lines", {}).get("docker" if launch.get("container") else "process", "")),
        "spec_hash": launch.get("spec_hash", ""),
        "nccl": {"env": nccl.get("env", {}), "reasons": nccl.get("reasons", {}), "unset": nccl.get("unset", {})},
    }


def plan_page(plan: Mapping[str, Any]) -> list[str]:
    """The plan as lines of text: findings first, the exact commands last."""
    sizes = ", ".join(f"{name}: {plan[name]}" for name in SIZES if plan.get(name))
    page = [
        f"{plan['deployment']}: {plan['model']} by {plan['engine']} {plan['engine_version']} at {plan['endpoint']}",
        *_router(plan),
        sizes,
        *([f"task: {plan['task']} ({plan['task_why']})"] if plan.get("task") else []),
    ]
    for severity, heading in (("fail", "Keeps it from starting"), ("warn", "Warnings"), ("info", "Notes")):
        if found := lines(plan["findings"], severity):
            page += ["", f"{heading}:", *(f"  {line}" for line in found)]
    page += ["", *_fit(plan), "", "Ranks:", *_ranks(plan["ranks"]), "", *_fabric(plan["ranks"]), "", "Commands:"]
    for rank in plan["ranks"]:
        page += [f"  rank {rank['rank']} ({rank['host']})", f"    {rank['command']}"]
    return page


def _router(plan: Mapping[str, Any]) -> list[str]:
    routers = plan.get("routers") or []
    more = f" (and at {', '.join(routers[1:])})" if routers[1:] else ""
    return [f"by a router{more}, before the head at {plan['head_url']}"] if routers else []


def _fit(plan: Mapping[str, Any]) -> list[str]:
    fit, proposal = plan["fit"], plan["proposal"]
    if not fit:
        return [
            "Memory: not judged; model or GPUs are not known: set engine_model_info (config.json, size) and engine_hardware"
        ]
    page = [f"Memory {fit['summary']}"]
    page += [f"  {one['label']}: {one['formula']} = {one['value']} {one['unit']}" for one in fit["arithmetic"]]
    if proposal.get("ok"):
        chosen = ", ".join(f"{name}: {value}" for name, value in proposal["engine_args"].items())
        page += [f"  we would choose {chosen or 'no parallelism'} with {proposal['replicas']} replica(s):"]
        page += [f"    {reason}" for reason in proposal["why"]]
    return page


def _ranks(ranks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"  {one['rank']}  {one['host']}  {one['address'] or '-'}  "
        + (one["interface"] or ("-" if one["reported"] else "(no facts of the node: the address is the declared one)"))
        for one in ranks
    ]


def _fabric(ranks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The NCCL environment with its reasons; ranks with the same one share an entry."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in ranks:
        if one["nccl"]["env"]:
            groups.setdefault(str(sorted(one["nccl"]["env"].items())), []).append(one)
    if not groups:
        return [
            "NCCL: decided at the start, from the machines (no GPUs, or neither facts of the nodes nor a declared fabric)"
        ]
    seen = all(one["reported"] for one in ranks)
    page = ["NCCL environment:" if seen else "NCCL environment, from what is declared; what the nodes report wins:"]
    for same in groups.values():
        nccl = same[0]["nccl"]
        page.append(f"  rank {', '.join(str(one['rank']) for one in same)}")
        page += [f"    {name}={value}: {nccl['reasons'].get(name, '')}" for name, value in sorted(nccl["env"].items())]
        page += [f"    {name} left unset: {why}" for name, why in sorted(nccl["unset"].items())]
    return page
