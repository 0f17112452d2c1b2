# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rank was written to serve, as its supervisor's configuration has it. Private to this collection.

An inventory is changed before it is deployed, and a run may set variables by ``-e``: what runs is what was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import changes
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

_NAMES = {"url": "serves at", "model": "serves the model", "engine": "runs", "names": "has the ranks"}


def read(deployment: str) -> dict[str, Any]:
    """The configuration, with the key of the endpoint as ``api_key``; empty where there is none or it cannot be read."""
    found: dict[str, Any] = {}
    for path in (names.supervisor_config(deployment), names.supervisor_secret(deployment)):
        text, _unused = changes.read(Path(path))
        try:
            found |= json.loads(text or "{}")
        except ValueError:
            return {}
    return found if found.get("deployment") == deployment else {}


def endpoint(written: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What to ask instead of what the inventory has; empty where nothing is to be asked or nothing was written."""
    if not (written and wanted["url"]):
        return {}
    served = {name: written[name] for name in ("url", "model", "certificate", "task") if name in written}
    return {**served, "api_key": written.get("api_key") or None}


def drift(written: Mapping[str, Any], wanted: Mapping[str, Any], engine: str) -> list[str]:
    """Where they differ, a line each. wanted: options of `rank_info`. engine: name and version in the unit; may be empty."""
    if not written:
        return []
    inventory = {
        "url": wanted["url"],
        "model": wanted["model"],
        "engine": f"{wanted['engine']} {wanted['version']}" if wanted["engine"] and wanted["version"] else None,
        "names": ", ".join(wanted["names"]) or None,
    }
    there = {**written, "engine": engine or None, "names": ", ".join(written.get("names", [])) or None}
    return [
        f"{verb} {there[name]}; the inventory has {inventory[name]}"
        for name, verb in _NAMES.items()
        if inventory[name] and there.get(name) and inventory[name] != there[name]
    ]
