# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever valid options go in: the engine's parser reads the same values back, and the key is nowhere to be seen."""

from __future__ import annotations

import json
import shlex
from random import Random
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import argument_parser
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import ENGINES, render
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import planned
from hypothesis import given, settings
from hypothesis import strategies as st
from option_samples import Sampler

KEY = "sk-9f8e7d6c5b4a"
VERSIONS = [
    ("vllm", "0.11.2"),
    ("vllm", ""),
    ("sglang", "0.4.3.post2"),
    ("sglang", "0.5.5"),
    ("sglang", ""),
    ("lmdeploy", ""),
    ("ray", ""),
    ("smg", ""),
]
"""Engine and version; an empty version is the newest in the catalog."""

launches = st.builds(
    dict,
    rank=st.integers(0, 1),
    runtime=st.sampled_from(["process", "docker", "podman", "nerdctl"]),
    venv=st.sampled_from([None, "/opt/engine"]),
    device=st.sampled_from(["cuda", "cpu"]),
    gpus=st.sampled_from([None, [0, 1, 2, 3, 4, 5, 6, 7]]),
    rdma=st.booleans(),
    env=st.dictionaries(st.sampled_from(["A", "B_C"]), st.sampled_from(["1", "a b", "$X", "50%", "quo'te"])),
)


def options_of(engine: str, version: str, launch: dict[str, Any], seed: int) -> tuple[dict[str, Any], Any, int]:
    catalog = read_catalog(engine)
    known = catalog.at(version or catalog.versions[-1])
    arguments = {
        "engine": engine,
        "engine_version": known.version,
        "deployment": "tiny",
        "nnodes": 1 if engine == "smg" else 2,
        "head_address": "192.0.2.10",
        "rank_address": f"192.0.2.{10 + launch['rank']}",
        "interface": "eth0",
        "model": None if engine == "smg" else "/srv/models/tiny model",
        "served_model_name": None if engine == "smg" else "tiny",
        "tensor_parallel_size": 16,
        "gpus_per_node": 8,
        "image": "engine:1",
        "api_key": KEY,
    } | launch
    request = Request.from_options(arguments)
    call = ENGINES[engine].call(request, known, planned(known, request.sizes, {}, request.nnodes))
    names = (*call.args, *call.owned, *call.left_out, "api_server_count")
    taken = {option.key for name in names if (option := known.lookup(name))}
    return arguments | {"engine_args": Sampler(Random(seed)).option_set(known, taken)}, known, len(call.program)


@pytest.mark.parametrize(("engine", "version"), VERSIONS)
@settings(max_examples=8, deadline=None)
@given(launch=launches, seed=st.integers(0, 2**32))
def test_the_parser_reads_back_what_went_in(engine: str, version: str, launch: dict[str, Any], seed: int) -> None:
    options, known, program = options_of(engine, version, launch, seed)
    rendered = render(options, read_catalog(engine))
    read = vars(argument_parser(known).parse_args(rendered["engine_argv"][program:]))
    wanted = known.check(options["engine_args"], "engine_args")
    assert wanted.findings == []
    for option, value in wanted.options:
        assert read[option.key] == value
    assert set(rendered["origins"]) >= {known.lookup(name).name for name in read if name != "model_tag"}


@pytest.mark.parametrize(("engine", "version"), VERSIONS)
@settings(max_examples=8, deadline=None)
@given(launch=launches, seed=st.integers(0, 2**32))
def test_lines_compose_and_key(engine: str, version: str, launch: dict[str, Any], seed: int) -> None:
    options, _, _ = options_of(engine, version, launch, seed)
    rendered = render(options, read_catalog(engine))
    assert rendered == render(options, read_catalog(engine))
    assert KEY not in json.dumps(rendered) + repr(rendered) + repr(Request.from_options(options))

    runtime = options["runtime"]
    if runtime != "process":
        assert shlex.split(rendered["lines"][runtime]) == rendered["argv"]
    assert set(rendered["lines"]) == {"process", "docker", "podman", "nerdctl"}
    assert all(shlex.split(line) for line in rendered["lines"].values())
    assert "--privileged" not in rendered["argv"]

    (service,) = yaml.safe_load(rendered["compose"])["services"].values()
    words = [*service["entrypoint"], *service["command"]]
    if runtime != "process":
        assert [w.replace("$$", "$") for w in words] == [
            rendered["container"]["entrypoint"],
            *rendered["container"]["command"],
        ]


@pytest.mark.parametrize(("engine", "version"), VERSIONS)
def test_code_that_comes_with_a_model_runs_only_where_somebody_asked_for_it(engine: str, version: str) -> None:
    options, known, _ = options_of(engine, version, {"rank": 0}, 0)
    plain = options | {"engine_args": {}}
    assert "trust" not in json.dumps(render(plain, read_catalog(engine)))
    if known.lookup("trust_remote_code"):
        trusted = render(plain | {"engine_args": {"trust_remote_code": True}}, read_catalog(engine))
        assert "--trust-remote-code" in trusted["argv"]


@pytest.mark.parametrize("change", [{"api_key": "sk-other"}, {"port": 9000}, {"engine_args": {}}, {"env": {"A": "2"}}])
def test_the_hash_follows_everything_that_the_rank_would_notice(change: dict[str, Any]) -> None:
    options, _, _ = options_of("vllm", "", {"rank": 0, "runtime": "docker"}, 1)
    catalog = read_catalog("vllm")
    before, after = (render(each, catalog)["spec_hash"] for each in (options, options | change))
    assert before != after
    assert len(before) == 64
    assert before == render(options | {"variable_prefix": "serve_"}, catalog)["spec_hash"]


def test_a_rank_that_needs_no_key_does_not_change_with_it() -> None:
    options, _, _ = options_of("vllm", "", {"rank": 1, "runtime": "process"}, 1)
    catalog = read_catalog("vllm")
    assert render(options, catalog)["spec_hash"] == render(options | {"api_key": "sk-other"}, catalog)["spec_hash"]
