# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and wheels of a project as pip is configured to see them, and single files out of those wheels.

pip has no public interface that lists a project's files, so this uses the finder behind ``pip index versions``: index,
extra indexes, certificates, proxies and credentials are whatever pip is set to on this machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.version import Version
from pip._internal.commands import create_command
from pip._internal.models.link import Link
from pip._internal.models.target_python import TargetPython

CACHE = Path(".cache/catalog")
BLOCK = 256 * 1024  # bytes per range request; a wheel's Python files lie together, so most reads are hits

# The wheels are read, never run: a fixed target makes the choice of the wheel the same on every machine.
TARGET = TargetPython(
    py_version_info=(3, 12),
    implementation="cp",
    platforms=[f"manylinux_2_{minor}_x86_64" for minor in range(40, 4, -1)]
    + ["manylinux2014_x86_64", "manylinux1_x86_64"],
)


class Index:
    """The package index, inside pip's own context."""

    def __init__(self, finder: Any, session: Any) -> None:
        self._finder = finder
        self._session = session

    def wheels(self, project: str) -> dict[str, Link]:
        """Version → one wheel of it, ascending; pre-releases included, yanked files not."""
        found: dict[Version, Link] = {}
        for candidate in sorted(self._finder.find_all_candidates(project), key=lambda c: c.link.filename):
            if not candidate.link.is_yanked:
                found[Version(str(candidate.version))] = candidate.link
        return {str(version): found[version] for version in sorted(found)}

    def open(self, link: Link) -> zipfile.ZipFile:
        """A wheel as a zip file; of a remote one only the parts that are read are fetched."""
        if link.is_file:
            return zipfile.ZipFile(link.file_path)
        return zipfile.ZipFile(io.BufferedReader(RangeFile(self._session, link.url_without_fragment)))


@contextlib.contextmanager
def pip_index() -> Iterator[Index]:
    """The index that pip is configured with."""
    command = create_command("download")
    options, _ = command.parse_args(["--quiet", "--pre", "--only-binary=:all:", "unused"])
    logging.getLogger("pip._internal").setLevel(logging.ERROR)
    with command.main_context():
        session = command.get_default_session(options)  # type: ignore[attr-defined]
        finder = command._build_package_finder(  # type: ignore[attr-defined]
            options=options, session=session, target_python=TARGET, ignore_requires_python=True
        )
        yield Index(finder, session)


class RangeFile(io.RawIOBase):
    """A remote file, read in blocks by HTTP range requests."""

    def __init__(self, session: Any, url: str) -> None:
        self._session = session
        self._url = url
        self._position = 0
        self._blocks: dict[int, bytes] = {}
        self._size = int(self._get(0, 0).headers["Content-Range"].rpartition("/")[2])

    def _get(self, first: int, last: int) -> Any:
        # identity: a server that compressed a range would return bytes of another file
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        response = self._session.get(self._url, headers=headers)
        response.raise_for_status()
        if response.status_code != 206:
            raise OSError(f"no range requests at {self._url} (status {response.status_code})")
        return response

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        block, start = divmod(self._position, BLOCK)
        if self._position >= self._size:
            return 0
        if block not in self._blocks:
            self._blocks[block] = self._get(block * BLOCK, min((block + 1) * BLOCK, self._size) - 1).content
        part = self._blocks[block][start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


class WheelFiles:
    """The Python files of one wheel: listed once, fetched when read, cached under `CACHE`."""

    def __init__(self, project: str, version: str) -> None:
        self._project = project
        self._version = version
        self._folder = CACHE / f"{project}-{version}"
        listing = self._folder / "listing.json"
        if not listing.exists():
            names = [name for name in self._zip.namelist() if name.endswith((".py", ".so"))]
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text(json.dumps(names))
        self.names = frozenset(json.loads(listing.read_text()))
        self.folders = frozenset(str(parent) for name in self.names for parent in Path(name).parents)

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        self._context = contextlib.ExitStack()  # open for the life of the process, like the zip file itself
        index = self._context.enter_context(pip_index())
        return index.open(index.wheels(self._project)[self._version])

    def read(self, name: str) -> str:
        """The text of one file."""
        path = self._folder / name
        if not path.exists():
            content = self._zip.read(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            part.write_bytes(content)
            part.replace(path)
        return path.read_text(encoding="utf-8")
