# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files whose whole content belongs to this collection: compared, written, removed. Private to this collection.

An entry is a mapping with the keys of ``OPTIONS``. A managed file begins with the line ``HEADER``; a file without it is foreign
and is kept as ``<path>.save``, a name that apt, modprobe and systemd do not read, before it is replaced or removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER

OPTIONS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "mode": {"type": "str", "default": "0644"},
    "comment": {"type": "str", "default": "#"},
    "ours": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_DEFAULTS = {name: rules.get("default") for name, rules in OPTIONS.items()}

State = tuple[str, int]
"""Content and permissions of a file."""


def read(path: Path) -> State | None:
    """Content and permissions; None where there is no such file."""
    try:
        return path.read_text(errors="replace"), path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return None


def wanted(entry: Mapping[str, Any]) -> State | None:
    """The state that an entry describes; None for a file that must be absent."""
    one = {**_DEFAULTS, **entry}
    if one["state"] == "absent":
        return None
    head = "" if one["ours"] else f"{one['comment']} {HEADER}\n"
    return head + one["content"], int(one["mode"], 8)


def wrong(entries: Iterable[Mapping[str, Any]]) -> str:
    """What no file can have of an entry's path or mode; empty where there is nothing."""
    for entry in entries:
        path, mode = str(entry["path"]), str(entry.get("mode") or OPTIONS["mode"]["default"])
        if not path.startswith("/") or path.endswith("/"):
            return f"path: {path!r} is no absolute path of a file; write one that begins with /"
        if not re.fullmatch(r"[0-7]{3,4}", mode):
            return f"mode of {path}: {mode!r} is not three or four octal digits; write for example '0644', in quotes"
    return ""


def differing(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries whose files are not as described."""
    return [entry for entry in entries if read(Path(entry["path"])) != wanted(entry)]


def apply(entry: Mapping[str, Any]) -> None:
    """Write or remove one file; a foreign one is kept as ``<path>.save``. Raises OSError."""
    path, after = Path(entry["path"]), wanted(entry)
    before = read(path)
    foreign = before is not None and not entry.get("ours") and HEADER not in before[0].partition("\n")[0]
    if before is not None and foreign:
        saved = path.with_name(f"{path.name}.save")
        if after is None:
            path.replace(saved)
        else:
            saved.write_bytes(path.read_bytes())
    elif before is not None and after is None:
        path.unlink()
    if after is not None:
        write(path, *after)


def diff(entry: Mapping[str, Any]) -> dict[str, str]:
    """Ansible's diff of one file; call it before `apply`."""
    return file_diff(entry["path"], read(Path(entry["path"])), wanted(entry))
