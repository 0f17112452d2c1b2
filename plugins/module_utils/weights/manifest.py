# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a model's folder: which files, how large, with which sha256, and where they come from.

Pure; private to this collection. ``folder`` reads and writes what is defined here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

VERSION = 1
FOLDER = ".fullrank"
"""Ours, inside the model's folder; never listed in a manifest."""
MANIFEST = f"{FOLDER}/manifest.json"
READY = f"{FOLDER}/READY"
PARTIAL = f"{FOLDER}/partial"
"""Unfinished files of any step; on the same file system as the folder, so that a finished one is renamed into place."""
JOURNAL = f"{PARTIAL}/verified.jsonl"
"""Which finished files a fetch has verified."""

HUBS = ("modelscope", "huggingface", "git-lfs", "path", "controller")
# what git and the hubs' own clients leave in a folder they downloaded to
BOOKKEEPING = frozenset({FOLDER, ".git", ".cache", ".msc", ".mdl", ".mv", "._____temp"})

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"version", "source", "conversion", "files"}

File = dict[str, Any]
"""path (relative, POSIX), size (bytes), sha256 (hexadecimal)."""
Problem = dict[str, Any]
"""path, problem (``missing``, ``size``, ``sha256`` or ``unreadable``), expected, found."""


class ManifestError(ValueError):
    """A manifest that cannot be trusted; its text is the reason."""


def is_weight_path(path: str) -> bool:
    """Whether ``path`` can name a file of a model: relative, inside the folder, and not a tool's bookkeeping."""
    parts = path.split("/")
    return bool(path) and "\0" not in path and not {"", ".", ".."} & set(parts) and parts[0] not in BOOKKEEPING


def build(source: Mapping[str, str], files: Iterable[Mapping[str, Any]], conversion: Any = None) -> dict[str, Any]:
    """A manifest of these files (path, size, sha256).

    ``source``: hub, repo and revision. ``conversion``: what was done to the files since they came from there; None for nothing.
    """
    listed = [{name: one[name] for name in ("path", "size", "sha256")} for one in files]
    return {
        "version": VERSION,
        "source": {name: source[name] for name in ("hub", "repo", "revision")},
        "conversion": conversion,
        "files": sorted(listed, key=lambda one: one["path"]),
    }


def render(manifest: Mapping[str, Any]) -> bytes:
    """The one way in which a manifest is written; equal manifests have equal bytes."""
    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def digest(content: bytes) -> str:
    """The sha256 of a manifest's bytes: what ``READY`` holds, and the name of exactly these weights."""
    return hashlib.sha256(content).hexdigest()


def parse(content: bytes) -> dict[str, Any]:
    """A manifest as it was read; raises ``ManifestError`` for one that this version does not understand or must not follow.

    A path that leads out of the folder must never be followed: manifests travel from node to node.
    """
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ManifestError(f"no JSON: {error}") from None
    if not isinstance(manifest, dict) or set(manifest) != _FIELDS:
        raise ManifestError(f"an object with {', '.join(sorted(_FIELDS))} is expected")
    if manifest["version"] != VERSION:
        raise ManifestError(f"version {manifest['version']!r} is not known; this one knows {VERSION}")
    source, files = manifest["source"], manifest["files"]
    if not isinstance(source, dict) or source.get("hub") not in HUBS:
        raise ManifestError(f"source.hub must be one of {', '.join(HUBS)}")
    if not isinstance(files, list) or not all(isinstance(one, dict) for one in files):
        raise ManifestError("files must be a list of objects")
    for one in files:
        _check(one)
    paths = [one["path"] for one in files]
    if paths != sorted(set(paths)):
        raise ManifestError("files are not sorted by path, or one is listed twice")
    return manifest


def _check(one: Mapping[str, Any]) -> None:
    path, size = one.get("path"), one.get("size")
    if not isinstance(path, str) or not is_weight_path(path):
        raise ManifestError(f"{path!r} is no path inside the folder")
    if not isinstance(size, int) or size < 0:
        raise ManifestError(f"{path}: size {size!r} is no number of bytes")
    if not _SHA256.fullmatch(str(one.get("sha256"))):
        raise ManifestError(f"{path}: {one.get('sha256')!r} is no sha256")


def total_bytes(manifest: Mapping[str, Any]) -> int:
    return sum(one["size"] for one in manifest["files"])


def wrong_sizes(files: Sequence[Mapping[str, Any]], sizes: Mapping[str, int]) -> list[Problem]:
    """The files that are missing or have another size, in their order. ``sizes``: path → bytes of what is there."""
    problems = []
    for one in files:
        found = sizes.get(one["path"])
        if found is None:
            problems.append(problem(one, "missing", one["size"], None))
        elif found != one["size"]:
            problems.append(problem(one, "size", one["size"], found))
    return problems


def problem(one: Mapping[str, Any], kind: str, expected: Any, found: Any) -> Problem:
    return {"path": one["path"], "problem": kind, "expected": expected, "found": found}


def describe(one: Problem) -> str:
    """One problem for people: ``model-00001.safetensors: 5 bytes, should be 7``."""
    texts = {
        "missing": "is not there",
        "size": f"{one['found']} bytes, should be {one['expected']}",
        "sha256": f"its content changed: sha256 {one['found']}, should be {one['expected']}",
        "unreadable": f"cannot be read: {one['found']}",
    }
    return f"{one['path']}: {texts[one['problem']]}"
