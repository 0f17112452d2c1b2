# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The previous launch of a rank, the target of a rollback, as one text. Private to this collection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import changes
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names


def to_keep(deployment: str, paths: Iterable[Path], old_hash: str, new_hash: str) -> str:
    """The text of the launch in ``paths``, which another one replaces; empty where it was never ready or stays."""
    ready, _unused = changes.read(Path(names.ready_mark(deployment)))
    if not old_hash or old_hash == new_hash or ready.strip() != old_hash:
        return ""
    older, _unused = changes.read(Path(names.previous_launch(deployment)))
    return pack(deployment, {path: changes.read(path) for path in paths if path.exists()}, older)


def pack(deployment: str, written: Mapping[Path, tuple[str, int]], older: str) -> str:
    """A launch as one text: content and mode of every ``written`` file. older: the text until now, which stays behind it."""
    launch: dict[str, Any] = {
        "deployment": deployment,
        "files": [{"path": str(path), "content": text, "mode": mode} for path, (text, mode) in written.items()],
    }
    before = json.loads(older) if older else None
    if before and _hash(before) == _hash(launch):
        before = before["before"]
    return _as_text(launch | {"before": {**before, "before": None} if before else None})


def before(text: str) -> str:
    """The launch behind the one in the text, as a text; empty where there is none."""
    older = json.loads(text)["before"]
    return _as_text(older) if older else ""


def _hash(launch: Mapping[str, Any]) -> str:
    return next((one for file in launch["files"] if (one := files.spec_hash(file["content"]))), "")


def _as_text(launch: Mapping[str, Any]) -> str:
    return json.dumps(launch, indent=1) + "\n"


def unpack(text: str) -> tuple[files.Files, dict[str, Any]]:
    """The launch in a text of `pack`: its files, and the supervisor's configuration among them.

    The program may be of a later version than the text: options that the configuration lacks have their defaults.
    """
    defaults = {name: option["default"] for name, option in files.GROUP_OPTIONS.items() if "default" in option}
    launch = json.loads(text)
    place = names.supervisor_config(launch["deployment"])
    found: files.Files = {
        Path(one["path"]): (one["content"], one["mode"], one["mode"] == 0o600) for one in launch["files"]
    }
    config = {**defaults, **json.loads(found[Path(place)][0])}
    return found | {Path(place): (files.as_config(config), 0o644, False)}, config
