# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every entry of the table of combinations: a launch meets it, its remedy is accepted, other versions do not have it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.combinations import Combination, names
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog, read_combinations
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import combinations
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from places import DATA

TABLE = read_combinations()
EXAMPLES: dict[str, dict[str, Any]] = yaml.safe_load((DATA / "combinations.yml").read_text())
BASE: dict[str, Any] = {
    "model": "/srv/models/m",
    "served_model_name": "m",
    "tensor_parallel_size": 8,
    "gpus_per_node": 8,
    "api_key": "sk-0123456789",
    "interface": "eth0",
}
SOURCE = re.compile(
    r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+|[\w/.,() …>:-]*\b(vllm|sglang|lmdeploy)/[\w/.]+\.py.*"
)
each = pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.id)


def options(entry: Combination, change: dict[str, Any]) -> dict[str, Any]:
    """The launch of an entry's example with a change, complete."""
    launch = BASE | {"engine": entry.engine, "engine_version": newest(entry)} | EXAMPLES[entry.id]["launch"]
    arguments = {**launch.get("engine_args", {}), **change.get("engine_args", {})}
    launch = launch | change | {"engine_args": {name: value for name, value in arguments.items() if value is not None}}
    addresses = [f"192.0.2.{10 + rank}" for rank in range(launch.get("nnodes", 1))]
    launch |= {"head_address": addresses[0], "rank_address": addresses[launch.get("rank", 0) % len(addresses)]}
    return launch | {"rank": launch.get("rank", 0) % len(addresses), "rank_addresses": addresses}


def newest(entry: Combination) -> str:
    """The newest version in the catalog that has the entry."""
    return next(version for version in reversed(read_catalog(entry.engine).versions) if entry.covers(version))


def findings(launch: dict[str, Any]) -> list[dict[str, Any]]:
    return list(render(launch, read_catalog(launch["engine"]))["findings"])


def test_every_entry_has_an_example_and_a_name_of_its_own() -> None:
    ids = [entry.id for entry in TABLE]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(EXAMPLES)
    numbered = [entry for entry in TABLE if any("github.com" in source for source in entry.source)]
    assert len(numbered) >= 30


@each
def test_the_launch_meets_it(entry: Combination) -> None:
    (found,) = [one for one in findings(options(entry, {})) if one["code"] == entry.id]
    assert found["severity"] == {"refused": "fail", "warned": "warn"}[entry.severity]
    assert entry.consequence in found["message"]
    assert found["remedy"] == entry.remedy
    option, own = entry.where, entry.where in Request.__dataclass_fields__
    assert own or read_catalog(entry.engine).at(newest(entry)).lookup(option) is not None
    assert found["where"] == (Request("vllm", "1").variable(option) if own else f"engine_args.{option}")


@each
def test_its_remedy_is_accepted(entry: Combination) -> None:
    launch = options(entry, EXAMPLES[entry.id]["remedy"])
    for rank in range(min(2, len(launch["rank_addresses"]))):
        left = findings(launch | {"rank": rank, "rank_address": launch["rank_addresses"][rank]})
        assert [one for one in left if one["severity"] == "fail" or one["code"] == entry.id] == []


@each
def test_other_versions_do_not_have_it(entry: Combination) -> None:
    versions = read_catalog(entry.engine).versions
    for bound in filter(None, (entry.since, entry.fixed)):
        assert bound in versions or bound == "0.10", f"{bound} was never published"
    if entry.since and entry.fixed:
        assert Version(entry.since) < Version(entry.fixed)
    for version in versions:
        if not entry.covers(version):
            assert entry.id not in {one["code"] for one in findings(options(entry, {"engine_version": version}))}


@each
def test_the_source_can_be_looked_up(entry: Combination) -> None:
    for source in entry.source:
        assert SOURCE.fullmatch(source), source


@each
def test_its_facts_are_facts(entry: Combination) -> None:
    launch = options(entry, {})
    catalog = read_catalog(entry.engine).at(newest(entry))
    known = Request.from_options(launch)
    facts = combinations.of_launch(known, catalog, {}, {}, Parallel())
    for name in names(entry.when):
        facts(name)
        if name.startswith("options."):
            option = "--" + name.split(".")[1].replace("_", "-")
            assert option in catalog.catalog.spans, name


def test_a_version_that_is_not_in_the_catalog_is_compared_too() -> None:
    launch = {
        "nnodes": 2,
        "executor": "ray",
        "tensor_parallel_size": 16,
        "rank_addresses": ["192.0.2.10", "192.0.2.11"],
    }
    launch |= (
        BASE
        | {"engine": "vllm", "head_address": "192.0.2.10", "rank_address": "192.0.2.10"}
        | {"tensor_parallel_size": 16}
    )
    codes = {
        version: {one["code"] for one in findings(launch | {"engine_version": version})}
        for version in ("0.11.1.post1", "v0.11.1", "0.11.1+cu129", "0.11.3", "rubbish")
    }
    assert [version for version, found in codes.items() if "ray-over-nodes-asserts" in found] == [
        "0.11.1.post1",
        "v0.11.1",
        "0.11.1+cu129",
    ]


def test_what_is_not_known_of_model_and_gpus_finds_nothing() -> None:
    entry = next(one for one in TABLE if one.id == "trtllm-mla-below-blackwell")
    for hardware in ({}, {"gpu": "something new"}, {"gpu": "NVIDIA B200"}):
        assert entry.id not in {one["code"] for one in findings(options(entry, {"hardware": hardware}))}
    dense = next(one for one in TABLE if one.id == "dense-copies-on-one-master-port")
    experts = {"config": {"model_type": "deepseek_v3", "n_routed_experts": 256}}
    for model in ({}, {"config": {}}, experts):
        assert dense.id not in {one["code"] for one in findings(options(dense, {"model_info": model}))}


def test_the_message_of_what_is_broken_has_the_number_of_the_issue() -> None:
    entry = next(one for one in TABLE if one.id == "ray-over-nodes-asserts")
    (found,) = [one for one in findings(options(entry, {})) if one["code"] == entry.id]
    assert found["message"].startswith("vllm 0.11.1: ")
    assert found["message"].endswith("(vllm#28997, vllm#28873)")
