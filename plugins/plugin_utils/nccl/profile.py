# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site profile: named fabric tuning that no machine can tell. What a file may say, and what it may not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.values import as_env_value

NEVER_SET = {
    "NCCL_ALGO": "NCCL chooses the algorithm per call and size; forcing one is for debugging",
    "NCCL_PROTO": "NCCL chooses the protocol; forcing LL128 where it is not supported corrupts data",
    "NCCL_MIN_NCHANNELS": "NCCL chooses the number of channels; more of them take GPU time from the model",
}
"""R10. Source: NCCL user guide, env.html, section Debugging."""

DERIVED = frozenset(
    {
        "NCCL_SOCKET_IFNAME",
        "NCCL_SOCKET_FAMILY",
        "NCCL_IB_HCA",
        "NCCL_IB_DISABLE",
        "NCCL_IB_GID_INDEX",
        "NCCL_IB_ADDR_FAMILY",
        "NCCL_DEBUG",
        "GLOO_SOCKET_IFNAME",
        "TP_SOCKET_IFNAME",
        "UCX_NET_DEVICES",
        "NVSHMEM_HCA_LIST",
        "NVSHMEM_IB_GID_INDEX",
        "VLLM_HOST_IP",
        "SGLANG_HOST_IP",
    }
)
"""What the machine tells: never in a profile."""

RDMA_FABRICS = frozenset({"infiniband", "roce"})
PLUGIN_FABRICS = frozenset({"efa", "tcpx", "tcpxo"})
"""Fabrics NCCL reaches only through a plugin: its own InfiniBand transport has no part in it."""
FABRICS = RDMA_FABRICS | PLUGIN_FABRICS | {"sockets"}
KEYS = frozenset(
    {"name", "description", "fabric", "source", "grade", "notes", "env", "left_out", "must_not_set", "vendor_script"}
)
GRADES = frozenset({"vendor", "project", "user-report"})
"""Whose statement it is: the owner of the hardware, a maintained project, or operators' scripts."""
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Profile:
    """``env``: the tuning. ``left_out``: published variables we do not set → why. ``must_not_set``: break this fabric.

    ``vendor_script``: path of a script that knows better than this file, in the container; "" where there is none.
    """

    name: str = ""
    fabric: str = ""
    source: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    must_not_set: tuple[str, ...] = ()
    vendor_script: str = ""


def read_profile(raw: Any, where: str = "site_profile") -> tuple[Profile, list[Finding]]:
    """The profile without what it may not contain, and a finding for each of those. None or {} is the empty profile."""
    if not raw:
        return Profile(), []
    if not isinstance(raw, Mapping):
        return Profile(), [_bad(where, "is no mapping", "give the result of the lookup fullrank.serving.nccl_profile")]
    findings = [*_shape(raw, where)]
    env: dict[str, str] = {}
    published = raw.get("env") if isinstance(raw.get("env"), Mapping) else {}
    for name, value in published.items() if isinstance(published, Mapping) else ():
        text = as_env_value(value)
        message, remedy = _refusal(name, text)
        if message or text is None:
            findings.append(_bad(f"{where}.env.{name}", message, remedy))
        else:
            env[str(name)] = text
    findings += [f for f in nccl_lint(env, {"where": f"{where}.env"}) if f["severity"] == FAIL]
    left_out = raw.get("left_out")
    must_not = raw.get("must_not_set")
    profile = Profile(
        name=str(raw.get("name") or ""),
        fabric=str(raw.get("fabric") or ""),
        source=str(raw.get("source") or ""),
        env=env,
        left_out={str(k): str(v) for k, v in left_out.items()} if isinstance(left_out, Mapping) else {},
        must_not_set=tuple(map(str, must_not)) if isinstance(must_not, list | tuple) else (),
        vendor_script=str(raw.get("vendor_script") or ""),
    )
    return profile, findings


def _bad(where: str, message: str, remedy: str) -> Finding:
    return finding(FAIL, "profile-invalid", where, message, remedy)


def _refusal(name: Any, text: str | None) -> tuple[str, str]:
    """Why a profile may not set this, and what to do; two empty texts where it may."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"{name!r} is no name of an environment variable", "use capitals, digits and underscores"
    if text is None:
        return "is no string or number", "write 1 or 0 instead of true or false, and no lists"
    if name in DERIVED:
        return "is read from each node; a fixed value is wrong on the next one", "remove it from the profile"
    if name in NEVER_SET:
        return NEVER_SET[name], "remove it; who must have it sets it as user environment"
    return "", ""


def _shape(raw: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    for key in sorted(map(str, raw.keys() - KEYS)):
        yield _bad(f"{where}.{key}", "is no key of a site profile", f"keys are {', '.join(sorted(KEYS))}")
    for key in ("name", "source"):
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            yield _bad(f"{where}.{key}", "is missing", "say what this is and where the values come from")
    if str(raw.get("fabric")) not in FABRICS:
        yield _bad(f"{where}.fabric", f"is {raw.get('fabric')!r}", f"write one of {', '.join(sorted(FABRICS))}")
    if raw.get("grade") is not None and str(raw["grade"]) not in GRADES:
        yield _bad(f"{where}.grade", f"is {raw['grade']!r}", f"write one of {', '.join(sorted(GRADES))}")
    for key in ("env", "left_out"):
        if raw.get(key) is not None and not isinstance(raw[key], Mapping):
            yield _bad(f"{where}.{key}", "is no mapping", "write VARIABLE: value pairs")
    if raw.get("must_not_set") is not None and not isinstance(raw["must_not_set"], list | tuple):
        yield _bad(f"{where}.must_not_set", "is no list", "write a list of variable names")
