# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published configurations with what their layers cost: tests/unit/data/model_configs.json."""

from __future__ import annotations

import json
from typing import Any

from places import DATA


def expanded(value: Any) -> Any:
    """Short forms of long lists, written out."""
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    keys = set(value)
    if keys == {"from", "to"}:
        return list(range(value["from"], value["to"] + 1))
    if keys == {"cycle", "of"}:
        return [value["cycle"][index % len(value["cycle"])] for index in range(value["of"])]
    if keys == {"runs"}:
        return [item for item, count in value["runs"] for _ in range(count)]
    if keys == {"letters", "of"}:
        return [value["of"][int(letter)] for letter in value["letters"]]
    return {key: expanded(item) for key, item in value.items()}


def _rows() -> list[dict[str, Any]]:
    rows = json.loads((DATA / "model_configs.json").read_text())["models"]
    for row in rows:
        row["windows"] = {int(span): size for span, size in row.get("windows", {}).items()}
    return [{**row, "config": expanded(row["config"])} for row in rows]


MODEL_CONFIGS = _rows()
