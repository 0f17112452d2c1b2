# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as the plan of the container toolkit sees it."""

from __future__ import annotations

from typing import Any


def facts(**more: Any) -> dict[str, Any]:
    return {
        "debian": True,
        "driver_found": True,
        "driver_message": "",
        "driver_version": "580.95.05",
        "runtimes": {
            "docker": {"version": "28.5.2", "message": ""},
            "podman": {"version": "", "message": "is not installed"},
        },
        "units": ["enabled", "enabled", "not-found"],
        "toolkit": "1.18.1",
        "spec": "libcuda.so.580.95.05",
        "other_specs": [],
        **more,
    }
