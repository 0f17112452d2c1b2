# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launches of operator field notes, from small variables files, corrected where the notes are wrong."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import lines
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from places import DATA

LAUNCHES = DATA / "launches"
CASES = [
    pytest.param(case, part, id=f"{path.stem}-{part}-{n}")
    for path in sorted(LAUNCHES.glob("*.yml"))
    for part in ("launches", "as_written")
    for n, case in enumerate(yaml.safe_load(path.read_text())[part])
]


def outcome(options: dict[str, Any], part: str) -> dict[str, Any]:
    """What the file records: of a refused launch the refusals, otherwise line, warnings, secret file, compose."""
    launch = render(options, read_catalog(options["engine"]))
    refusals = lines(launch["findings"], "fail")
    if part == "as_written":
        return {"refusals": refusals}
    assert refusals == []
    runtime = options.get("runtime", "process")
    recorded: dict[str, Any] = {"line": launch["lines"][runtime], "warnings": launch["warnings"]}
    if launch["secret_file"]:
        recorded["secret_file"] = launch["secret_file"]
    return recorded | {"compose": yaml.safe_load(launch["compose"])} if launch["compose"] else recorded


@pytest.mark.parametrize(("case", "part"), CASES)
def test_launch(case: dict[str, Any], part: str) -> None:
    found, expected = outcome(case["options"], part), dict(case["expect"])
    if "line" in expected:
        assert shlex.split(found.pop("line")) == shlex.split(expected.pop("line"))
    if "compose" not in expected:
        found.pop("compose", None)
    assert found == expected


@pytest.mark.parametrize("path", sorted(LAUNCHES.glob("*.yml")), ids=lambda path: path.stem)
def test_every_file_names_its_source(path: Path) -> None:
    recorded = yaml.safe_load(path.read_text())
    assert recorded["source"].startswith("operator field notes")
    assert recorded["quoted"]
