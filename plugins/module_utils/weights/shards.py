# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the shards of a checkpoint are whole, as far as that can be seen without a manifest. Private to this collection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights.manifest import is_weight_path

INDEX = "model.safetensors.index.json"


def weight_files(paths: Iterable[str], index: Mapping[str, Any] | None) -> list[str]:
    """The safetensors files that are loaded: those of the index; without one, all beside ``config.json``."""
    if index is None:
        return sorted(path for path in paths if path.endswith(".safetensors") and "/" not in path)
    return sorted({str(name) for name in dict(index.get("weight_map") or {}).values()})


def not_whole(root: Path) -> list[str]:
    """Shards of the checkpoint in ``root`` that an engine could not load: the index names them and they are not there, or
    they end elsewhere than by their own header. What a copy that was cut off leaves, seen without a manifest.

    Format: https://huggingface.co/docs/safetensors/index#format
    """
    try:
        index = json.loads((root / INDEX).read_text(encoding="utf-8"))
        named = weight_files((), index)
    except FileNotFoundError:
        named = weight_files((path.name for path in root.glob("*.safetensors")), None)
    except (OSError, ValueError, TypeError, AttributeError):
        return [INDEX]
    return [name for name in named if not (is_weight_path(name) and _is_whole(root / name))]


def _is_whole(shard: Path) -> bool:
    try:
        size = shard.stat().st_size
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, size)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return False
    return bool(size == 8 + length + max(ends, default=0))
