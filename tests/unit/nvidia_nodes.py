# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that need a driver, as facts, and what the plan makes of them."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import plan as nvidia_plan
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import wanted as nvidia_wanted
from ansible_collections.fullrank.serving.plugins.module_utils.packages import plan as packages_plan
from ansible_collections.fullrank.serving.plugins.module_utils.packages import versions
from places import DATA

LISTINGS = DATA / "repositories"
UBUNTU = {"id": "ubuntu", "version": "24.04", "codename": "noble", "family": "debian"}
DEBIAN = {"id": "debian", "version": "13", "codename": "trixie", "family": "debian"}
ROCKY = {"id": "rocky", "version": "9.6", "codename": "", "family": "redhat"}
H100, H20, L40S, B200, GB200, V100, T4, GH200 = 0x2330, 0x2329, 0x26B9, 0x2901, 0x2941, 0x1DB1, 0x1EB8, 0x2342


def facts(os: dict[str, str] = UBUNTU, gpus: tuple[int, ...] = (H100,) * 8, **more: Any) -> dict[str, Any]:
    """A node without a driver; NVSwitches where the boards have them."""
    return {
        "os": os,
        "architecture": "x86_64",
        "kernel": "6.8.0-85-generic",
        "headers": False,
        "gpus": {f"0000:{0x10 + index:02x}:00.0": gpu for index, gpu in enumerate(gpus)},
        "nvswitches": 4 if gpus and gpus[0] in (H100, H20) else 0,
        "subnet_managers": ["0000:90:00.0"] if gpus and gpus[0] == B200 else [],
        "secure_boot": False,
        "nouveau_loaded": False,
        "loaded": {"version": None, "kind": None},
        "packages": {},
        "runfile_version": None,
        "sources": [],
        "archive": [],
        "old_keys": [],
        "services": {},
        "imex_nodes": [],
        "initramfs": [],
        **more,
    }


def plan(node: dict[str, Any], **more: Any) -> dict[str, Any]:
    wanted = {"source": "repository", "version": "580.95.05", "repositories": "https://m/cuda", **more}
    return nvidia_plan.plan(node, nvidia_wanted.Wanted(**wanted))


def names(found: dict[str, Any]) -> list[str]:
    return [name for one in found["packages"] for name in one["names"]]


def codes(found: dict[str, Any]) -> list[str]:
    return [one["code"] for one in found["findings"]]


def complete(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the defaults that the module's option table fills in."""
    defaults = {"remedy": "", "hold": True, "first": False, "optional": False, "at_least": "", "where": "packages"}
    return [{**defaults, **one} for one in entries]


def settled(
    entries: list[dict[str, Any]], listing: str, installed: dict[str, str] | None = None
) -> packages_plan.Targets:
    text = (LISTINGS / listing).read_text()
    rows = versions.parse_repoquery(text) if listing.endswith("query") else versions.parse_madison(text)
    return packages_plan.settle(complete(entries), installed or {}, lambda _: rows, upgrade=False)


def installed_580(**more: Any) -> dict[str, Any]:
    return facts(packages={"nvidia-open-580": "580.95.05-1", "nvidia-driver-pinning-580": "580-1"}, **more)
