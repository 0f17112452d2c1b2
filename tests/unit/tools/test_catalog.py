# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator's pure parts: a parser as data, data as records, records as a file and back; what stubs put up with."""

from __future__ import annotations

import argparse
import json
import typing
from abc import ABC
from typing import Any

import click
import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog

from tools.catalog import stubs
from tools.catalog.__main__ import FOLDER, header, migrations, stored
from tools.catalog.describe import argparse_options, click_options
from tools.catalog.engines import ENGINES
from tools.catalog.records import UnknownConverterError, catalog_text, records, versions_of


class DeprecatedAction(argparse.Action):
    """Refuses to be used, as SGLang's did up to 0.5.4."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError


def optional_type(inner: Any) -> Any:
    """As in vLLM."""

    def _optional_type(word: str) -> Any:
        return None if word == "None" else inner(word)

    return _optional_type


def toy_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("-tp", "--tensor-parallel-size", "--tp-size", dest="tp_size", type=int, default=1)
    parser.add_argument("--seed", type=optional_type(int))
    parser.add_argument("--config", type=json.loads)
    parser.add_argument("--dtype", choices={"half", "auto", "bfloat16"}, default="auto")
    parser.add_argument("--trust-remote-code", action="store_true")
    parser.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction)
    parser.add_argument("--urls", nargs="*", default=[])
    parser.add_argument("--middleware", action="append", default=[])
    parser.add_argument("--new", help="Use --seed with it.")
    parser.add_argument("--old", help="Deprecated. Use --new instead.")
    parser.add_argument("--gone", action=DeprecatedAction, nargs=0)
    parser.add_argument("--careless", type=bool, default=False)
    return parser


TOY = [
    {"name": "--careless", "type": "bool", "choices": [True], "default": False},
    {"name": "--config", "kind": "json"},
    {"name": "--dtype", "choices": ["auto", "bfloat16", "half"], "default": "auto"},
    {"name": "--enforce-eager", "kind": "switch"},
    {"name": "--gone", "kind": "flag", "deprecated": "fatal"},
    {"name": "--middleware", "kind": "repeat"},
    {"name": "--new"},
    {"name": "--old", "deprecated": "warn", "successor": "--new"},
    {"name": "--seed", "type": "int"},
    {
        "name": "--tensor-parallel-size",
        "spellings": ["-tp", "--tensor-parallel-size", "--tp-size"],
        "dest": "tp_size",
        "type": "int",
        "default": 1,
    },
    {"name": "--trust-remote-code", "kind": "flag"},
    {"name": "--urls", "kind": "list", "nargs": "*"},
    {"name": "model_tag", "kind": "positional", "nargs": "?"},
]


def test_an_argparse_parser_as_records() -> None:
    assert records(argparse_options(toy_parser())) == TOY


def test_a_click_command_as_records() -> None:
    @click.command()
    @click.option("--head", is_flag=True, default=False, help="start the head")
    @click.option("--port", type=int)
    @click.option("--include-dashboard", type=bool, default=None)
    @click.option("--tracing/--no-tracing", default=True)
    @click.option("-v", "--verbose", count=True, default=None)
    def start(**options: Any) -> None:
        pass

    assert records(click_options(start)) == [
        {"name": "--head", "kind": "flag"},
        {"name": "--include-dashboard", "type": "bool"},
        {"name": "--port", "type": "int"},
        {"name": "--tracing", "kind": "switch", "default": True},
        {"name": "--verbose", "kind": "flag", "spellings": ["-v", "--verbose"]},
    ]


def test_an_unknown_converter_is_not_guessed() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=toy_parser)
    with pytest.raises(UnknownConverterError, match="toy_parser"):
        records(argparse_options(parser))


def test_the_file_holds_every_version_and_loads_as_a_catalog() -> None:
    older = [record for record in TOY if record["name"] != "--new"]
    changed = [{**record, "default": "half"} if record["name"] == "--dtype" else record for record in TOY]
    by_version = {"1.0": older, "1.1": TOY, "2.0": changed}
    text = catalog_text({"engine": "toy"}, by_version, {"--old": {"becomes": {"--new": None}, "source": "its help"}})
    assert versions_of(json.loads(text)) == by_version
    assert text.count('"--dtype"') == 2
    assert text.count('"--seed"') == 1
    catalog = Catalog.from_data("toy", json.loads(text))
    assert catalog.history("--new").since == "1.1"
    assert catalog.at("2.0").check({"dtype": "half", "enforce_eager": False}, "engine_args").findings == []


def test_only_wanted_versions() -> None:
    assert ENGINES["ray"].wants(["2.39.0", "2.40.0", "2.41.0", "2.41.1", "2.42.0rc1"]) == ["2.40.0", "2.41.1"]
    assert ENGINES["sglang"].wants(["0.3.6", "0.4.0", "0.5.0rc0"]) == ["0.4.0", "0.5.0rc0"]


def test_a_stub_takes_what_import_time_code_does_with_it() -> None:
    torch: Any = stubs.StubModule("torch")

    class Layer(torch.nn.Module, ABC):
        pass

    class Wide(Layer, torch.Mixin):
        pass

    @torch.no_grad()
    def forward() -> str:
        return "real"

    assert forward() == "real"
    assert isinstance(Wide(1, key=2), Layer)
    assert typing.get_args(torch.dtype | typing.Literal["auto"])[1] == typing.Literal["auto"]
    assert stubs.MARK.findall(f"one of {torch.distributed.Backend}") == ["torch:distributed.Backend"]


def test_a_stub_that_decides_something_is_noted() -> None:
    stubs.consulted.clear()
    module: Any = stubs.StubModule("engine.backends")
    assert list(module.CHOICES) != []
    assert not module.AVAILABLE
    assert list(dict.fromkeys(stubs.consulted)) == ["engine.backends:CHOICES", "engine.backends:AVAILABLE"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_stored_file_is_what_the_generator_writes(engine: str) -> None:
    """It was not edited by hand, and the reviewed migrations are in it."""
    text = catalog_text(header(engine), versions_of(stored(engine)), migrations(engine))
    assert not stubs.MARK.search(text)
    assert (FOLDER / f"{engine}.json").read_text(encoding="utf-8") == text
