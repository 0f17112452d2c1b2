"""The stored catalogs against their sources: the published wheels, and engines that are really installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

from tools.catalog import describe
from tools.catalog.__main__ import stored
from tools.catalog.extract import options_of
from tools.catalog.records import records, versions_of

HERE = Path(__file__).parent

# small wheels, or ones of which few files are read
SAMPLES = {
    "lmdeploy": "0.7.0",
    "ray": "2.40.0",
    "sglang": "0.4.3",
    "sglang_router": "0.3.2",
    "smg": "1.13.0",
    "vllm": "0.7.3",
}

# What depends on the platform: the catalog is made for NVIDIA GPUs, the installed engines are CPU builds.
PLATFORM = {("vllm", "--mm-processor-device", "choices")}


@pytest.mark.index
@pytest.mark.parametrize(("engine", "version"), SAMPLES.items())
def test_a_wheel_gives_what_is_stored(engine: str, version: str) -> None:
    for needed in ("click", "msgspec", "pydantic"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install --group catalogs")
    assert records(options_of(engine, version)) == versions_of(stored(engine))[version]


@pytest.mark.engine
@pytest.mark.parametrize("engine", ["sglang", "vllm"])
def test_an_installed_engine_has_what_is_stored(engine: str) -> None:
    variable = f"FULLRANK_{engine.upper()}_PYTHON"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name the interpreter of an environment with {engine}")
    command = [python, str(HERE / "installed_parser.py"), str(Path(describe.__file__)), engine]
    installed = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    version = installed["version"].partition("+")[0]
    real = {record["name"]: record for record in records(installed["options"])}
    known = {record["name"]: record for record in versions_of(stored(engine))[version]}
    assert real.keys() == known.keys()
    different = {
        (engine, name, field): (known[name].get(field), real[name].get(field))
        for name in real
        for field in real[name].keys() | known[name].keys()
        if real[name].get(field) != known[name].get(field)
    }
    assert {where: values for where, values in different.items() if where not in PLATFORM} == {}
