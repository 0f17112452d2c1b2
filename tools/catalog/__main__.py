# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tools.catalog --engine sglang``: add the versions that the catalog does not have yet.

``--version V``: extract this version (again); may be repeated. ``--all``: extract every version again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from packaging.version import Version

from tools.catalog.engines import ENGINES
from tools.catalog.extract import ExtractionError, options_of
from tools.catalog.index import pip_index
from tools.catalog.records import Record, UnknownConverterError, catalog_text, records, versions_of

FOLDER = Path(__file__).resolve().parents[2] / "plugins/plugin_utils/data/catalog"
MIGRATIONS = Path(__file__).with_name("migrations.json")


def published(engine: str) -> list[str]:
    """The versions that belong into an engine's catalog, ascending."""
    with pip_index() as index:
        return ENGINES[engine].wants(list(index.wheels(ENGINES[engine].project)))


def stored(engine: str) -> dict[str, Any]:
    """The content of an engine's catalog file; empty before the first run."""
    path = FOLDER / f"{engine}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"versions": [], "options": []}


def header(engine: str) -> dict[str, Any]:
    """What the file records about itself."""
    return {"engine": engine, "command": ENGINES[engine].command, "abbreviations": ENGINES[engine].abbreviations}


def migrations(engine: str) -> dict[str, Any]:
    """The reviewed migrations of one engine."""
    return dict(json.loads(MIGRATIONS.read_text(encoding="utf-8")).get(engine, {}))


def write(engine: str, by_version: dict[str, list[Record]]) -> None:
    """Write an engine's catalog file."""
    ordered = {version: by_version[version] for version in sorted(by_version, key=Version)}
    text = catalog_text(header(engine), ordered, migrations(engine))
    (FOLDER / f"{engine}.json").write_text(text, encoding="utf-8")


def refresh(engine: str, versions: Iterable[str], jobs: int) -> bool:
    """Extract these versions and write the catalog; False if one of them failed (the others are written)."""
    by_version = versions_of(stored(engine))
    succeeded = True
    with ThreadPoolExecutor(jobs) as pool:
        for version, future in [(version, pool.submit(options_of, engine, version)) for version in versions]:
            try:
                by_version[version] = records(future.result())
            except (ExtractionError, UnknownConverterError) as error:
                print(f"{engine} {version}: failed: {error}", file=sys.stderr)
                succeeded = False
            else:
                print(f"{engine} {version}: {len(by_version[version])} options")
    write(engine, by_version)
    return succeeded


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.catalog", description=__doc__)
    parser.add_argument("--engine", action="append", choices=sorted(ENGINES), help="default: every engine")
    parser.add_argument("--version", action="append", help="extract this version, again if need be")
    parser.add_argument("--all", action="store_true", help="extract every version again")
    parser.add_argument("--jobs", type=int, default=1, help="extractions at the same time")
    args = parser.parse_args()
    succeeded = True
    for engine in args.engine or sorted(ENGINES):
        known = [] if args.all else stored(engine)["versions"]
        versions = args.version or [version for version in published(engine) if version not in known]
        succeeded &= refresh(engine, versions, args.jobs)
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
