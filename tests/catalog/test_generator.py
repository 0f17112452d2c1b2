# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stored catalogs against their sources: the published wheels, and engines that are really installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from tools.catalog.__main__ import stored
from tools.catalog.extract import options_of
from tools.catalog.records import records, versions_of

# small wheels, or ones of which few files are read
SAMPLES = {
    "lmdeploy": "0.7.0",
    "ray": "2.40.0",
    "sglang": "0.4.3",
    "sglang_router": "0.3.2",
    "smg": "1.13.0",
    "vllm": "0.7.3",
}

COMPILED = "only the engine's compiled code knows it, and the generator runs none"

# Where the catalog and the installed parser differ: (engine, option, field) → why.
EXPLAINED = {
    ("ray", "--dashboard-host", "default"): COMPILED,
    ("sglang_router", "--tool-call-parser", "choices"): COMPILED,
    ("smg", "--reasoning-parser", "choices"): COMPILED,
    ("smg", "--tool-call-parser", "choices"): COMPILED,
    (
        "vllm",
        "--mm-processor-device",
        "choices",
    ): "by platform: the catalog is for NVIDIA GPUs, the installed build for CPUs",
}


@pytest.mark.index
@pytest.mark.parametrize(("engine", "version"), SAMPLES.items())
def test_a_wheel_gives_what_is_stored(engine: str, version: str) -> None:
    for needed in ("click", "msgspec", "pydantic"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install --group catalogs")
    assert records(options_of(engine, version)) == versions_of(stored(engine))[version]


@pytest.mark.engine
@pytest.mark.parametrize("engine", ["lmdeploy", "ray", "sglang", "sglang_router", "smg", "vllm"])
def test_an_installed_engine_has_what_is_stored(engine: str, installed: Callable[[str], Any]) -> None:
    parser = installed(engine)
    real = {record["name"]: record for record in records(parser.options)}
    known = {record["name"]: record for record in versions_of(stored(engine))[parser.version]}
    assert real.keys() == known.keys()
    different = {
        (engine, name, field): (known[name].get(field), real[name].get(field))
        for name in real
        for field in real[name].keys() | known[name].keys()
        if real[name].get(field) != known[name].get(field)
    }
    assert {where: values for where, values in different.items() if where not in EXPLAINED} == {}
    assert {where for where in EXPLAINED if where[0] == engine} <= different.keys(), "explained, but equal"
