# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site decides about NCCL, as far as facts cannot: the second argument of ``nccl_env``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.profile import Profile, read_profile
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.values import as_env_value
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, parse_version

KEYS = (
    "nccl_version",
    "runtime",
    "site_profile",
    "exclude_hcas",
    "include_hcas",
    "companions",
    "engine",
    "gate_run",
    "user_env",
)
COMPANIONS = ("ucx", "nvshmem")
HOST_IP = {"vllm": "VLLM_HOST_IP", "sglang": "SGLANG_HOST_IP"}


@dataclass(frozen=True)
class Policy:
    """``sys_nice``: False only where the engine runs in a container without CAP_SYS_NICE. ``user_env``: None unsets."""

    version: Version | None = None
    sys_nice: bool = True
    profile: Profile = field(default_factory=Profile)
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    engine: str = ""
    gate_run: bool = False
    user_env: Mapping[str, str | None] = field(default_factory=dict)


def read_policy(raw: Any) -> tuple[Policy, list[Finding]]:
    """The policy and what is wrong with it. None or {} is the policy that leaves everything to the rules."""
    if raw is None:
        raw = {}
    if not isinstance(raw, Mapping):
        return Policy(), [_bad("policy", "is no mapping", f"keys are {', '.join(KEYS)}")]
    findings = [_unknown(str(key)) for key in raw if key not in KEYS]
    profile, profile_findings = read_profile(raw.get("site_profile"), "policy.site_profile")
    runtime = raw.get("runtime")
    container = runtime if isinstance(runtime, Mapping) else {}
    lists = {key: _names(raw.get(key), key, findings) for key in ("exclude_hcas", "include_hcas", "companions")}
    findings += [
        _bad("policy.companions", f"knows no {name!r}", f"write one of {', '.join(COMPANIONS)}")
        for name in lists["companions"]
        if name not in COMPANIONS
    ]
    policy = Policy(
        version=parse_version(raw.get("nccl_version")),
        sys_nice=not (container.get("container") is True and container.get("sys_nice") is False),
        profile=profile,
        exclude=lists["exclude_hcas"],
        include=lists["include_hcas"],
        companions=lists["companions"],
        engine=raw["engine"] if isinstance(raw.get("engine"), str) else "",
        gate_run=raw.get("gate_run") is True,
        user_env=_user_env(raw.get("user_env"), findings),
    )
    return policy, [*findings, *_version_findings(raw.get("nccl_version"), policy.version), *profile_findings]


def _bad(where: str, message: str, remedy: str) -> Finding:
    return finding(FAIL, "policy-invalid", where, message, remedy)


def _unknown(key: str) -> Finding:
    near = difflib.get_close_matches(key, KEYS, n=1)
    return _bad(f"policy.{key}", "is no key of the policy", f"write {near[0]}" if near else f"keys: {', '.join(KEYS)}")


def _names(value: Any, key: str, findings: list[Finding]) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    findings.append(_bad(f"policy.{key}", "is no list of names", "write a YAML list"))
    return ()


def _user_env(value: Any, findings: list[Finding]) -> dict[str, str | None]:
    """The user's variables; a value no environment can carry is reported and left out."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        findings.append(_bad("policy.user_env", "is no mapping", "write VARIABLE: value pairs"))
        return {}
    env: dict[str, str | None] = {}
    for name, raw in value.items():
        text = as_env_value(raw)
        if text is None and raw is not None:
            findings.append(_bad(f"policy.user_env.{name}", f"is {raw!r}", "write a string or a number, 1 for true"))
        else:
            env[str(name)] = text
    return env


def _version_findings(value: Any, version: Version | None) -> list[Finding]:
    where = "policy.nccl_version"
    if version:
        return []
    if value is None:
        return [
            finding(
                INFO,
                "nccl-version-unknown",
                where,
                "not known; taken for 2.21 or newer, which selects GIDs itself",
                "give the image's version: python3 -c 'import torch; print(torch.cuda.nccl.version())'",
            )
        ]
    hint = 'quote it: YAML reads 2.20 as the number 2.2; write "2.20"' if isinstance(value, float) else 'write "2.21.5"'
    return [_bad(where, f"{value!r} is no version", hint)]
