# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the catalogs in ``plugin_utils/data/catalog``. All I/O of the catalogs is here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog

FOLDER = Path(__file__).parents[1] / "data" / "catalog"


def engines() -> list[str]:
    """The engines that have a catalog."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def read_catalog(engine: str) -> Catalog:
    """The catalog of one engine, read once per process. Raises FileNotFoundError for an engine without one."""
    return Catalog.from_data(engine, json.loads((FOLDER / f"{engine}.json").read_text(encoding="utf-8")))
