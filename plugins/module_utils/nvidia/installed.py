# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which driver a node has: how it was installed, in which version, and whether the kernel runs it.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.packages.versions import Candidate

_VENDOR_META = ("nvidia-open", "cuda-drivers")
_NAMES = (*_VENDOR_META, "nvidia-driver", "nvidia-headless")


def installed_source(facts: dict[str, Any]) -> str:
    """How the driver that is there was installed: none, repository, distribution, runfile or mixed."""
    # both archives call it nvidia-driver; the vendor's metapackages are in no distribution
    named = [name for name in facts["packages"] if name.startswith(_NAMES)]
    named = [name for name in named if "pinning" not in name]
    vendor = any(name.startswith(_VENDOR_META) and "kernel" not in name for name in named)
    by_packages = ("repository" if vendor else "distribution") if named else "none"
    if facts["runfile_version"] is None:
        return by_packages
    return "runfile" if by_packages == "none" else "mixed"


def installed_version(facts: dict[str, Any]) -> str | None:
    """The version of the driver that is installed, whatever the kernel has loaded."""
    if facts["runfile_version"]:
        return str(facts["runfile_version"])
    for prefix in _NAMES:
        for name, full in sorted(facts["packages"].items()):
            if name.startswith(prefix) and not any(word in name for word in ("pinning", "kernel", "libs", "bin")):
                return Candidate(name, full, "").upstream.partition("-")[0]
    return None


def reboot_reasons(facts: dict[str, Any]) -> list[str]:
    """Why the installed driver is not the one that works, until the node boots."""
    installed, loaded = installed_version(facts), facts["loaded"]["version"]
    if installed is None or not facts["gpus"] or installed == loaded:
        return []
    if facts["nouveau_loaded"]:
        return [f"nouveau drives the GPUs, and driver {installed} is installed"]
    if loaded:
        return [f"the kernel has driver {loaded} loaded, and {installed} is installed"]
    return [f"driver {installed} is installed, and not loaded"]
