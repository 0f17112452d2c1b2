# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment variables that each NCCL release reads, from the library itself: ``python -m tools.nccl_variables``.

NVIDIA documents about half of them. All stand as texts in ``libnccl.so.2`` of the published wheels; of a wheel only the
first part of that file is fetched, since the texts lie before the GPU code. Written to
``plugins/plugin_utils/data/nccl_variables.json`` with the wheel's sha256. Without arguments only releases that are not in
the file are read; ``--all`` reads every one again.
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version

from tools.catalog.index import pip_index

CHECKOUT = Path(__file__).resolve().parents[1]
TABLE = CHECKOUT / "plugins/plugin_utils/data/nccl_variables.json"
PROJECT = "nvidia-nccl-cu12"
FIRST = Version("2.18")
LIBRARY = "nvidia/nccl/lib/libnccl.so.2"
TEXTS = 32 * 1024 * 1024
"""In 2.18.1 to 2.32.3 the last name stands at 1.5 to 3.8 MB of 280 to 474 MB."""

_NAME = re.compile(rb"(?<!\S )(?<![(='\"%/&|,.:<>-])NCCL_[A-Z0-9_]+(?=\0)")
"""A name at the end of a text. Before it stands another text's end, or padding; a word and one space make it the end of a
message such as "... initialize it via NCCL_CONFIG_INITIALIZER"."""


def names(library: bytes) -> list[str]:
    """The variables in the first part of a libnccl.so.2, sorted.

    >>> names(b"\\0NCCL_IB_TC\\0XXNCCL_NET_PLUGIN\\0use NCCL_CONFIG_INITIALIZER\\0NCCL_NOT_AT_AN_END ")
    ['NCCL_IB_TC', 'NCCL_NET_PLUGIN']
    """
    return sorted({match.decode() for match in _NAME.findall(library)})


def read(wheel: zipfile.ZipFile) -> list[str]:
    """The variables of one wheel."""
    with wheel.open(LIBRARY) as library:
        return names(library.read(TEXTS))


def as_table(releases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Release → ``sha256`` and ``names`` as the table: each variable with the runs of releases that know it.

    A run is ``[first, last]``; ``last`` is null where the newest release knows it.
    """
    versions = sorted(releases, key=Version)
    known: dict[str, list[list[str | None]]] = {}
    for name in sorted({name for one in releases.values() for name in one["names"]}):
        runs: list[list[str | None]] = []
        before = False
        for version in versions:
            now = name in releases[version]["names"]
            if now and not before:
                runs.append([version, None])
            elif before and not now:
                runs[-1][1] = versions[versions.index(version) - 1]
            before = now
        known[name] = runs
    return {
        "package": PROJECT,
        "releases": {version: releases[version]["sha256"] for version in versions},
        "variables": known,
    }


def from_table(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The reverse of `as_table`."""
    versions = list(table["releases"])
    releases: dict[str, dict[str, Any]] = {v: {"sha256": table["releases"][v], "names": set()} for v in versions}
    for name, runs in table["variables"].items():
        for first, last in runs:
            end = versions.index(last) + 1 if last else len(versions)
            for version in versions[versions.index(first) : end]:
                releases[version]["names"].add(name)
    return releases


def text(table: Mapping[str, Any]) -> str:
    """The file: one line for each release and each variable, so that a change can be read."""

    def block(key: str) -> str:
        rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in table[key].items())
        return f'  "{key}": {{\n{rows}\n  }}'

    return f'{{\n  "package": {json.dumps(table["package"])},\n{block("releases")},\n{block("variables")}\n}}\n'


def stored() -> dict[str, dict[str, Any]]:
    """What the file has; nothing before the first run."""
    return from_table(json.loads(TABLE.read_text(encoding="utf-8"))) if TABLE.exists() else {}


def published(wanted: Iterable[str] | None = None, *, without: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """The releases on the index from 2.18 on: those of ``wanted``, or all that are not in ``without``."""
    found = {}
    with pip_index() as index:
        for version, link in index.wheels(PROJECT).items():
            if Version(version) >= FIRST and (version in wanted if wanted is not None else version not in without):
                with index.open(link) as wheel:
                    found[version] = {"sha256": link.hash, "names": set(read(wheel))}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="read every release again")
    before = {} if parser.parse_args().all else stored()
    TABLE.write_text(text(as_table(before | published(without=before))), encoding="utf-8")


if __name__ == "__main__":
    main()
