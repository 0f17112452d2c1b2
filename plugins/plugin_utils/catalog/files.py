# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the catalogs in ``plugin_utils/data/catalog`` and the table of combinations. All I/O of the catalogs is here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.combinations import Combination

FOLDER = Path(__file__).parents[1] / "data" / "catalog"
COMBINATIONS = FOLDER.with_name("combinations.yml")


def engines() -> list[str]:
    """The engines that have a catalog."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def read_combinations() -> tuple[Combination, ...]:
    """The combinations that engines refuse or fail with, read once per process."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows = yaml.load(COMBINATIONS.read_text(encoding="utf-8"), Loader=loader)
    return tuple(Combination.from_data(row) for row in rows)


@cache
def read_catalog(engine: str) -> Catalog:
    """The catalog of one engine, read once per process. Raises FileNotFoundError for an engine without one."""
    content = json.loads((FOLDER / f"{engine}.json").read_text(encoding="utf-8"))
    return Catalog.from_data(engine, content, tuple(one for one in read_combinations() if one.engine == engine))
