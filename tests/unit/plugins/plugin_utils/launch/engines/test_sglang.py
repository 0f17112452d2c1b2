# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every SGLang parameter of the operator field notes, in five versions: accepted, translated, or refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from places import DATA

NOTES = yaml.safe_load((DATA / "sglang-parameters.yml").read_text())
CODES = {
    "ok": ("", ""),
    "deprecated": ("warn", "option-deprecated"),
    "renamed": ("warn", "option-renamed"),
    "removed": ("fail", "option-removed"),
    "too-new": ("fail", "option-too-new"),
    "unknown": ("fail", "option-unknown"),
    "own": ("fail", "option-owned"),
}


@pytest.mark.parametrize("version", NOTES["versions"])
@pytest.mark.parametrize("parameter", NOTES["parameters"], ids=lambda parameter: parameter["name"])
def test_parameter(parameter: dict[str, Any], version: str) -> None:
    options = {
        "engine": "sglang",
        "engine_version": version,
        "model": "/srv/models/tiny",
        "served_model_name": "tiny",
        "engine_args": {parameter["name"]: parameter["value"]},
    }
    launch = render(options, read_catalog("sglang"))
    outcome = parameter["outcome"][NOTES["versions"].index(version)]
    reported = [
        f for f in launch["findings"] if f["where"].startswith("engine_args.") and f["code"].startswith("option-")
    ]
    found = {(f["severity"], f["code"]) for f in reported}
    if outcome == "own":  # an abbreviation or a rename of one of our own is reported as well
        assert CODES[outcome] in found
    else:
        assert found == ({CODES[outcome]} if outcome != "ok" else set())
    words = " ".join(f"{f['message']} {f['remedy']}" for f in reported)
    assert parameter.get("names", {}).get(outcome, "") in words
    written = [option for option, origin in launch["origins"].items() if origin.startswith("engine_args.")]
    assert bool(written) == (outcome in ("ok", "deprecated", "renamed"))


def test_the_notes_are_complete() -> None:
    assert len([p for p in NOTES["parameters"] if p["outcome"] != ["unknown"] * 5]) >= 97
