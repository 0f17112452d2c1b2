# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stored catalogs: consistent in themselves, and in line with what is known of the engines from elsewhere."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import (
    Catalog,
    Option,
    VersionCatalog,
    argument_parser,
    to_argv,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import engines, read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import read_value
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

ENGINES = ["lmdeploy", "ray", "sglang", "sglang_router", "smg", "vllm"]


def test_every_engine_has_a_catalog() -> None:
    assert engines() == ENGINES


@pytest.mark.parametrize("engine", ENGINES)
def test_versions_ascend_and_options_are_unique(engine: str) -> None:
    catalog = read_catalog(engine)
    assert list(catalog.versions) == sorted(catalog.versions, key=Version)
    for version in catalog.versions:
        options = catalog.at(version).options
        assert len({option.key for option in options}) == len(options)
        spellings = [spelling for option in options for spelling in option.spellings]
        assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_migration_leads_somewhere(engine: str) -> None:
    catalog = read_catalog(engine)
    for old, migration in catalog.migrations.items():
        assert migration.source, old
        assert bool(migration.becomes) != bool(migration.note), old
        assert old not in _reachable(catalog, old), f"{old} leads back to itself"
        for new, value in migration.becomes.items():
            holders = [run.option for run in catalog.runs if new in run.option.spellings]
            assert holders, f"{old} becomes {new}, which no version has"
            if value is not None:
                assert any(not o.choices or value in o.choices for o in holders), (old, new, value)


def _reachable(catalog: Catalog, old: str) -> set[str]:
    found: set[str] = set()
    todo = list(catalog.migrations[old].becomes)
    while todo and old not in found:
        name = todo.pop()
        found.add(name)
        todo += catalog.migrations[name].becomes if name in catalog.migrations else []
    return found


# What is known from elsewhere. Sources: the engines' release notes and help texts, and their issue trackers.
KNOWN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("sglang", "0.4.3", "tp_size", {"name": "--tensor-parallel-size", "type": "int", "default": 1, "kind": "value"}),
    ("sglang", "0.5.23", "tp_size", {"name": "--tensor-parallel-size", "default": 1}),
    ("sglang", "0.5.23", "ep", {"name": "--expert-parallel-size"}),
    ("sglang", "0.4.3", "nccl_init_addr", {"name": "--dist-init-addr"}),
    ("sglang", "0.4.3", "trust_remote_code", {"kind": "flag", "default": False}),
    ("sglang", "0.4.3", "speculative_eagle_topk", {"type": "int", "choices": (1, 2, 4, 8)}),
    ("sglang", "0.4.3", "quantization", {"kind": "value"}),
    ("sglang", "0.5.4", "enable_ep_moe", {"deprecated": "fatal"}),
    ("sglang", "0.5.19", "stream_output", {"deprecated": "warn", "successor": "--incremental-streaming-output"}),
    ("vllm", "0.8.5.post1", "tensor_parallel_size", {"type": "int", "default": 1}),
    ("vllm", "0.32.0", "tp", {"name": "--tensor-parallel-size"}),
    ("vllm", "0.32.0", "model", {"name": "--model"}),
    ("vllm", "0.32.0", "model_tag", {"kind": "positional", "nargs": "?"}),
    ("vllm", "0.11.1", "nnodes", {"type": "int"}),
    ("vllm", "0.32.0", "enforce_eager", {"kind": "switch"}),
    ("vllm", "0.32.0", "speculative_config", {"kind": "json"}),
    ("vllm", "0.32.0", "max_model_len", {"type": "human-int|auto"}),
    ("vllm", "0.32.0", "api_key", {"kind": "list"}),
    ("lmdeploy", "0.7.1", "model_path", {"kind": "positional", "nargs": ""}),
    ("lmdeploy", "0.18.0", "tp", {"type": "int"}),
    ("lmdeploy", "0.10.0", "server_port", {"default": 23333}),
    ("ray", "2.60.0", "head", {"kind": "flag"}),
    ("ray", "2.60.0", "include_dashboard", {"kind": "value", "type": "bool"}),
    ("sglang_router", "0.3.2", "worker_urls", {"kind": "list", "nargs": "*"}),
    ("sglang_router", "0.3.2", "prefill", {"kind": "repeat", "nargs": "+"}),
    ("smg", "1.13.0", "worker_urls", {"kind": "list", "nargs": "*"}),
]


@pytest.mark.parametrize(("engine", "version", "name", "fields"), KNOWN)
def test_known_option(engine: str, version: str, name: str, fields: dict[str, Any]) -> None:
    option = read_catalog(engine).at(version).lookup(name)
    assert option is not None
    assert {field: getattr(option, field) for field in fields} == fields


# engine, spelling, first version, last version (empty: still there)
HISTORIES = [
    ("sglang", "--model", "0.4.8.post1", ""),
    ("sglang", "--file-storage-pth", "0.4.0", "0.4.3.post2"),
    ("sglang", "--disable-mla", "0.4.0", "0.4.5.post1"),
    ("sglang", "--torchao-config", "0.4.0", "0.5.17"),
    ("sglang", "--cuda-graph-max-bs", "0.4.0", "0.5.19"),
    ("sglang", "--flash-attn", "", ""),
    ("vllm", "--nnodes", "0.11.1", ""),
    ("vllm", "--enable-reasoning", "0.7.3", "0.9.2"),
]


@pytest.mark.parametrize(("engine", "spelling", "since", "until"), HISTORIES)
def test_history(engine: str, spelling: str, since: str, until: str) -> None:
    history = read_catalog(engine).history(spelling)
    assert (history.since, history.until) == (since, until)


# engine, version, option, value, severity and code of the finding ("" for none), argv
TRANSLATIONS: list[tuple[str, str, str, Any, str, list[str]]] = [
    ("sglang", "0.4.3", "tp", 8, "warn: option-abbreviated", ["--tensor-parallel-size", "8"]),
    ("sglang", "0.5.23", "pp", 2, "fail: option-unknown", []),
    ("sglang", "0.5.23", "cuda_graph_max_bs", 64, "warn: option-renamed", ["--cuda-graph-max-bs-decode", "64"]),
    ("sglang", "0.4.6", "enable_flashinfer_mla", True, "warn: option-renamed", ["--attention-backend", "flashinfer"]),
    ("sglang", "0.5.23", "nsa_decode", "fa3", "warn: option-renamed", ["--dsa-decode-backend", "fa3"]),
    ("sglang", "0.5.23", "enable_ep_moe", True, "fail: option-removed", []),
    ("sglang", "0.5.23", "flash_attn", True, "fail: option-unknown", []),
    ("sglang", "0.5.23", "disable_cuda_graph", True, "warn: option-deprecated", ["--disable-cuda-graph"]),
    ("sglang", "0.5.23", "quantization", "marlin", "fail: option-choice", []),
    ("vllm", "0.13.0", "cuda_graph_sizes", [1, 8], "warn: option-renamed", ["--cudagraph-capture-sizes", "1", "8"]),
    ("vllm", "0.8.5.post1", "nnodes", 2, "fail: option-too-new", []),
    ("vllm", "0.33.0", "disable_prefix_caching", True, "", ["--disable-prefix-caching"]),
    ("vllm", "0.33.0", "enable_prefix_caching", False, "", ["--disable-prefix-caching"]),
    ("vllm", "0.12.0", "enable_prefix_caching", False, "", ["--no-enable-prefix-caching"]),
    ("lmdeploy", "0.18.0", "enable_metrics", True, "fail: option-removed", []),
    ("ray", "2.60.0", "num_gpu", 1, "fail: option-unknown", []),
]


@pytest.mark.parametrize("case", TRANSLATIONS)
def test_translation(case: tuple[str, str, str, Any, str, list[str]]) -> None:
    engine, version, name, value, expected, argv = case
    checked = read_catalog(engine).at(version).check({name: value}, "engine_args")
    assert [f"{f['severity']}: {f['code']}" for f in checked.findings] == ([expected] if expected else [])
    assert to_argv(checked.options) == argv


def words_for(option: Option) -> st.SearchStrategy[Any]:
    """Values that the option takes."""
    text = st.text(st.characters(exclude_categories=["C"]), min_size=1).filter(lambda word: not word.startswith("-"))
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "str": text,
        "int": st.integers(),
        "float": st.floats(min_value=0, allow_infinity=False),
        "bool": st.booleans(),
        "auto": st.just("auto"),
        "human-int": st.one_of(st.integers(), st.sampled_from(["1k", "2M"])),
        "json": st.dictionaries(text, st.one_of(st.integers(), text, st.lists(st.booleans()))),
    }
    word = st.sampled_from(option.choices) if option.choices else st.one_of(*(kinds[t] for t in option.type.split("|")))
    if option.kind in ("flag", "switch"):
        return st.booleans()
    fixed = int(option.nargs) if option.nargs.isdigit() else 0
    several = st.lists(word, min_size=fixed or 1, max_size=fixed or 3)
    if option.kind == "list":
        return several
    if option.kind == "repeat":
        return st.lists(several if option.nargs else word, min_size=1, max_size=3)
    return word


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_argv_parses_to_what_went_in(engine: str, data: st.DataObject) -> None:
    catalog = read_catalog(engine)
    at = catalog.at(data.draw(st.sampled_from(catalog.versions)))
    usable = [option for option in at.options if option.deprecated != "fatal"]
    chosen = data.draw(st.lists(st.sampled_from(usable), max_size=8, unique_by=lambda option: option.name))
    positional = [option for option in at.options if option.kind == "positional" and option.nargs != "?"]
    chosen += [option for option in positional if option not in chosen]
    args = {option.key: data.draw(words_for(option), label=option.name) for option in chosen}
    checked = at.check(args, "engine_args")
    assert [f for f in checked.findings if f["severity"] == "fail"] == []
    argv = to_argv(checked.options)
    assert _parsed(at, argv) == {option.key: value for option, value in checked.options}
    assert argv == to_argv(at.check(dict(args), "engine_args").options)


def _parsed(at: VersionCatalog, argv: list[str]) -> dict[str, Any]:
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            return vars(argument_parser(at).parse_args(argv))
        except SystemExit:
            raise AssertionError(errors.getvalue()) from None


def test_defaults_are_values_that_the_option_takes() -> None:
    """A default that the option itself would refuse shows that the type or the choices are wrong."""
    sentinels = {("sglang", "--monokernel-backend")}  # its default is false: "not given"
    refused = set()
    for engine in ENGINES:
        at = read_catalog(engine).at(read_catalog(engine).versions[-1])
        for option in at.options:
            try:
                read_value(option, option.default)
            except ValueError:
                refused.add((engine, option.name))
    assert refused == sentinels


WITHOUT_EFFECT = [
    ("sglang", "0.5.20", "prefill-round-robin-balance"),  # gone
    ("sglang", "0.5.12", "prefill_round_robin_balance"),  # still taken
    ("vllm", "0.11.0", "enable_reasoning"),
    ("vllm", "0.10.2", "use-v2-block-manager"),
]


@pytest.mark.parametrize(("engine", "version", "name"), WITHOUT_EFFECT)
def test_what_has_no_effect_is_left_out_with_a_warning(engine: str, version: str, name: str) -> None:
    checked = read_catalog(engine).at(version).check({name: True}, "engine_args")
    assert [(one["severity"], one["code"]) for one in checked.findings] == [("warn", "option-without-effect")]
    assert checked.options == []


def test_what_had_an_effect_is_written_and_what_did_not_exist_is_refused() -> None:
    catalog, name = read_catalog("sglang"), "prefill_round_robin_balance"
    assert to_argv(catalog.at("0.5.2").check({name: True}, "").options) == ["--prefill-round-robin-balance"]
    assert [one["code"] for one in catalog.at("0.4.6").check({name: True}, "").findings] == ["option-too-new"]


def test_a_version_is_looked_up_once_and_its_finding_names_its_own_variable() -> None:
    catalog = read_catalog("vllm")
    assert catalog.at("0.32.0") is catalog.at("0.32.0")
    places = [catalog.at("0.0.1", where).findings[0]["where"] for where in ("one", "other", "one")]
    assert places == ["one", "other", "one"]
