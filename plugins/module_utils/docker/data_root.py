# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where docker and containerd keep their data, and whether that can be moved. Pure; private to this collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed

CONTAINERD_ROOT = "/var/lib/containerd"
# overlayfs, the storage of both, takes its upper layer from none of these (kernel: Documentation/filesystems/overlayfs.rst)
UNFIT_FILE_SYSTEMS = ("overlay", "nfs", "cifs", "smb", "9p", "fuse", "vfat", "ramfs")
# what the copy may need beyond the data: blocks of another size, directories, docker's start
SPARE_SHARE = 0.05
SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Move:
    """``what``: docker or containerd. ``where``: the variable that holds the target. Bytes and inodes as they are on disk now."""

    what: str
    source: str
    target: str
    where: str
    used_bytes: int = 0
    used_inodes: int = 0


@dataclass(frozen=True)
class Place:
    """What is at a target today. ``device`` tells file systems apart; ``free_inodes`` is None where they are not counted."""

    file_system: str
    device: int
    free_bytes: int
    free_inodes: int | None
    entries: tuple[str, ...] = ()


def needed_bytes(used: int) -> int:
    """Free bytes that are needed before ``used`` bytes are copied.

    >>> needed_bytes(0) == SPARE_BYTES
    True
    """
    return int(used * (1 + SPARE_SHARE)) + SPARE_BYTES


def inside(path: str, folder: str) -> bool:
    return PurePosixPath(folder) in PurePosixPath(path).parents


def check(moves: Sequence[Move], places: Mapping[str, Place], mounts: str) -> list[Finding]:
    """All that speaks against the moves. mounts: the text of /proc/self/mounts."""
    found: list[Finding] = []
    for move in moves:
        place = places[move.target]
        if inside(move.target, move.source) or inside(move.source, move.target):
            message = f"{move.target} and {move.source}, where the data is now, lie inside each other"
            found.append(failed("root-nested", move.where, message, "choose a folder beside it"))
        if place.file_system.startswith(UNFIT_FILE_SYSTEMS):
            message = f"{move.target} is on {place.file_system}, which cannot hold layers of images"
            found.append(failed("root-file-system", move.where, message, "choose a folder on ext4 or xfs"))
        if place.entries:
            names = ", ".join(place.entries[:5]) + (", ..." if len(place.entries) > 5 else "")
            message = f"{move.target} is not empty, it holds {names}"
            found.append(failed("root-not-empty", move.where, message, "choose an empty folder, or empty it"))
        for mount in mounts_below(mounts, move.source):
            message = f"{mount} is mounted below {move.source}, and would not come along"
            found.append(failed("root-mount", move.where, message, "unmount it, or move the data by hand"))
    for device in dict.fromkeys(places[move.target].device for move in moves):
        found += _space([move for move in moves if places[move.target].device == device], places)
    return found


def _space(moves: Sequence[Move], places: Mapping[str, Place]) -> list[Finding]:
    """Whether one file system takes all that shall go there."""
    place = places[moves[0].target]
    bytes_wanted = needed_bytes(sum(move.used_bytes for move in moves))
    inodes_wanted = sum(move.used_inodes for move in moves)
    target, where = " and ".join(move.target for move in moves), moves[0].where
    remedy = "free some, choose another folder, or remove unused images (docker system prune)"
    if place.free_bytes < bytes_wanted:
        message = f"{human.binary(bytes_wanted)} are needed at {target}, {human.binary(place.free_bytes)} are free"
        return [failed("root-space", where, message, remedy, needed=bytes_wanted, free=place.free_bytes)]
    if place.free_inodes is not None and place.free_inodes < inodes_wanted:
        message = f"{inodes_wanted} inodes are needed at {target}, {place.free_inodes} are free"
        return [failed("root-inodes", where, message, remedy, needed=inodes_wanted, free=place.free_inodes)]
    return []


def mounts_below(mounts: str, folder: str) -> list[str]:
    """Mount points below a folder, except those that containers have while they run.

    >>> mounts_below("a /d/vol ext4 rw 0 0\\noverlay /d/overlay2/x/merged overlay rw 0 0\\nb /dd ext4 rw 0 0", "/d")
    ['/d/vol']
    """
    points = [line.split()[1:3] for line in mounts.splitlines() if len(line.split()) > 2]
    of_containers = re.compile(r"/overlay2/[^/]+/merged$|/containers/[^/]+/mounts/|/rootfs/overlayfs/")
    return [point for point, _kind in points if inside(point, folder) and not of_containers.search(point)]


def in_use(mounts: str, folder: str) -> list[str]:
    """Mount points that hold data below a folder: of whatever still runs from there."""
    fields = [line.split() for line in mounts.splitlines() if len(line.split()) > 3]
    layers = re.compile(rf"(?:upperdir|lowerdir|workdir)=[^ ]*{re.escape(folder)}/")
    return [row[1] for row in fields if inside(row[1], folder) or layers.search(row[3])]


def keeps_images_in_containerd(info: Mapping[str, Any]) -> bool:
    """Whether images and layers are in containerd's root instead of docker's, as in new installations of docker 29."""
    status = {row[0]: row[1] for row in info.get("DriverStatus") or [] if len(row) == 2}
    return str(status.get("driver-type", "")).startswith("io.containerd.snapshotter")


_ROOT_LINE = re.compile(r"""^[ \t]*root[ \t]*=[ \t]*(["'])(.*?)\1.*$""", re.MULTILINE)


def _top(text: str) -> int:
    """Where the top level of a TOML text ends: at the first table."""
    table = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    return table.start() if table else len(text)


def containerd_root(text: str) -> str:
    """The root that containerd's config.toml names.

    >>> containerd_root('#root = "/x"\\nversion = 2\\n[a]\\nroot = "/y"\\n')
    '/var/lib/containerd'
    """
    line = _ROOT_LINE.search(text[: _top(text)])
    return line[2] if line else CONTAINERD_ROOT


def with_containerd_root(text: str, root: str) -> str:
    """The same config.toml with another root; every other line as it was.

    >>> with_containerd_root('version = 2\\n[a]\\nroot = "/y"\\n', "/data/c")
    'root = "/data/c"\\nversion = 2\\n[a]\\nroot = "/y"\\n'
    """
    top = _top(text)
    line = f'root = "{root}"'
    if _ROOT_LINE.search(text[:top]):
        return _ROOT_LINE.sub(lambda _unused: line, text[:top], count=1) + text[top:]
    return f"{line}\n{text or 'version = 2' + chr(10)}"


def differences(source: Mapping[str, Any], copy: Mapping[str, Any]) -> list[str]:
    """Paths that are not in both, or not alike in both."""
    return sorted(path for path in source.keys() | copy.keys() if source.get(path) != copy.get(path))
