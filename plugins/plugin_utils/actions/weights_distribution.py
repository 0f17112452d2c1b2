# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each node's part in a transfer of a model, from what every node has; or the findings that forbid it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.weights.manifest import total_bytes, wrong_sizes

Copy = Mapping[str, Any]
"""What ``model_info`` returned on one node, with ``listing``."""

MIB = 1 << 20
SMALLEST_SLICE, LARGEST_SLICE = MIB // 2, 64 * MIB
# A slice is passed on when it is whole, so the last node of a chain starts later by (nodes * streams * slice); this is the
# share of the whole transfer that this may cost.
FILL_SHARE = 0.03
# one stream is bound by the processor long before such a link is full
FAST_LINK_GBPS = 100.0
STREAMS, STREAMS_OF_FAST_LINK = 2, 8
MOST_SOURCES = 3
"""Nodes that have everything and take part; more would only be spare."""
RESERVE_BYTES = 1 << 30


@dataclass(frozen=True)
class Part:
    """What a node does in the transfer."""

    host: str
    receives: bool
    upstreams: list[dict[str, Any]]


@dataclass(frozen=True)
class Distribution:
    """A transfer: everything that its nodes must agree about."""

    manifest: dict[str, Any]
    slice_bytes: int
    streams: int
    peers: list[str]
    parts: dict[str, Part]


def distribute(
    path: str, source: str, copies: Mapping[str, Copy], streams: int = 0
) -> tuple[Distribution | None, list[Finding]]:
    """The transfer that gives every node of ``copies`` (in the order of the chain) a verified copy, or why there is none.

    ``source``: the host whose copy counts where ready copies differ. ``streams`` 0: by the rate of the slowest link.
    """
    reference, findings = choose(path, source, copies)
    if reference is None:
        return None, findings
    manifest, digest = copies[reference]["manifest"], copies[reference]["manifest_sha256"]
    has = [host for host, copy in copies.items() if copy["ready"] and copy["manifest_sha256"] == digest]
    lacks = [host for host in copies if host not in has]
    givers = [reference, *(host for host in has if host != reference)][:MOST_SOURCES]
    if lacks:
        findings = [*findings, *addresses(path, givers + lacks, copies)]
        findings += [found for host in lacks for found in room(path, host, manifest, copies[host])]
    if findings:
        return None, findings
    parts = {host: Part(host, False, []) for host in givers} if lacks else {}
    for number, host in enumerate(lacks):
        before = [*reversed(lacks[:number]), *givers]
        parts[host] = Part(host, True, [place(one, copies[one]) for one in before])
    count = streams or streams_for([copies[host]["link_gbps"] for host in parts])
    slice_bytes = slice_for(total_bytes(manifest), len(parts), count)
    return Distribution(manifest, slice_bytes, count, [copies[host]["address"] for host in parts], parts), []


def choose(path: str, source: str, copies: Mapping[str, Copy]) -> tuple[str | None, list[Finding]]:
    """The host whose copy is the one to have: ``source`` if it is ready, otherwise what all ready ones agree about."""
    ready = [host for host, copy in copies.items() if copy["ready"]]
    if source in ready:
        return source, []
    if not ready:
        reasons = "; ".join(f"{host}: {copy['why_not']}" for host, copy in copies.items())
        remedy = "fetch the model first; model_verify names what is wrong with a copy"
        return None, [failed("no-copy", f"{path}", f"no node has a verified copy ({reasons})", remedy)]
    if len({copies[host]["manifest_sha256"] for host in ready}) > 1:
        remedy = f"make the copy of {source} ready, or set model_distribute_source to the host whose copy is right"
        return None, [failed("two-copies", f"{path}", f"the verified copies of {', '.join(ready)} differ", remedy)]
    return ready[0], []


def addresses(path: str, hosts: Sequence[str], copies: Mapping[str, Copy]) -> list[Finding]:
    """Nodes that the others could not reach."""
    remedy = "set it to the node's address on the network between the ranks"
    findings = [
        failed("no-address", f"model_distribute_address of {host}", f"it is needed to distribute {path}", remedy)
        for host in hosts
        if not copies[host]["address"]
    ]
    seen: dict[str, str] = {}
    for host in hosts:
        address = copies[host]["address"]
        if address and address in seen:
            message = f"it is {address}, as that of {seen[address]}"
            findings.append(failed("same-address", f"model_distribute_address of {host}", message, remedy))
        seen.setdefault(address, host)
    return findings


def room(path: str, host: str, manifest: Mapping[str, Any], copy: Copy) -> list[Finding]:
    """Whether what is missing fits on the disk, and a little more."""
    missing = {one["path"] for one in wrong_sizes(manifest["files"], copy["sizes"])}
    needed = sum(one["size"] for one in manifest["files"] if one["path"] in missing) - copy["partial_bytes"]
    if missing and needed + RESERVE_BYTES > copy["free_bytes"]:
        message = (
            f"{human.binary(needed)} of {human.binary(total_bytes(manifest))} are missing, and "
            f"{human.binary(copy['free_bytes'])} are free; {human.binary(RESERVE_BYTES)} must stay so"
        )
        return [failed("disk-full", f"{path} on {host}", message, "make room, or move model_path to a larger disk")]
    return []


def place(host: str, copy: Copy) -> dict[str, Any]:
    return {"name": host, "address": copy["address"], "port": copy["port"]}


def streams_for(rates: Sequence[float]) -> int:
    """Slices at a time; a rate of 0 is unknown."""
    known = [rate for rate in rates if rate > 0]
    return STREAMS_OF_FAST_LINK if known and min(known) >= FAST_LINK_GBPS else STREAMS


def slice_for(total: int, nodes: int, streams: int) -> int:
    """Bytes of a slice: small enough to fill the chain soon, large enough that requesting it costs nothing."""
    wanted = int(FILL_SHARE * total / max(1, nodes * streams))
    return max(SMALLEST_SLICE, min(LARGEST_SLICE, wanted - wanted % SMALLEST_SLICE))


def shared(path: str, source: str, copies: Mapping[str, Copy]) -> list[Finding]:
    """For a file system that all nodes mount: those that do not see the one verified copy."""
    reference, findings = choose(path, source, copies)
    if reference is None:
        return findings
    remedy = "mount the same file system everywhere, or set model_distribute to chain"
    for host, copy in copies.items():
        if not copy["ready"] or copy["manifest_sha256"] != copies[reference]["manifest_sha256"]:
            why = copy["why_not"] or f"it is another copy than that of {reference}"
            findings.append(failed("not-shared", f"{path} on {host}", f"the shared copy is not there: {why}", remedy))
    return findings
