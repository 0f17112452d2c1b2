# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines that we render, given to the parsers of really installed engines."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import ENGINES, render
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import planned
from option_samples import Sampler

SETS = 50
READ_FURTHER = {
    "lmdeploy": {"quant_policy"},
    "sglang_router": {"tool_call_parser"},
    "smg": {"cache_boundaries", "reasoning_parser", "tool_call_parser"},
    "vllm": {"config", "lora_modules", "mm_processor_device"},
    "sglang": {"config", "cuda_graph_config"},
}
"""Options whose text the parser itself reads further: the name of a file that must exist, JSON of a fixed form, names that
only a function of the engine or its compiled code knows; and one whose choices depend on the machine."""


def part_of(request: Request, known: VersionCatalog) -> Call:
    """The engine's own part of a launch without options of the user."""
    return ENGINES[request.engine].call(request, known, planned(known, request.sizes, {}, request.nnodes))


def launches(engine: str, version: str) -> list[dict[str, Any]]:
    """Option sets by chance, over ranks, sizes and runtimes."""
    known = read_catalog(engine).at(version)
    random = Random(20)
    sampler = Sampler(random, objects=({},))
    found = []
    for _ in range(SETS):
        rank, nnodes = random.choice([(0, 1), (0, 2), (1, 2)])
        arguments = {
            "engine": engine,
            "engine_version": version,
            "rank": rank,
            "nnodes": nnodes,
            "head_address": "192.0.2.10",
            "rank_address": f"192.0.2.{10 + rank}",
            "interface": "eth0",
            "model": "/srv/models/tiny",
            "served_model_name": "tiny",
            "tensor_parallel_size": nnodes * random.choice([1, 2, 8]),
            "dtype": random.choice([None, "auto", "bfloat16"]),
            "device": random.choice(["cuda", "cpu"]),
            "api_key": random.choice([None, "sk-0123456789"]),
        }
        call = part_of(Request.from_options(arguments), known)
        taken = {
            option.key
            for name in (*call.args, *call.owned, *call.left_out, "api_server_count")
            if (option := known.lookup(name))
        }
        found.append(arguments | {"engine_args": sampler.option_set(known, taken | READ_FURTHER.get(engine, set()))})
    return found


@pytest.mark.engine
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_engine_accepts_what_we_render(engine: str, installed: Callable[[str], Any]) -> None:
    parser = installed(engine)
    rendered = [render(options, read_catalog(engine)) for options in launches(engine, parser.version)]
    unwanted = {f["code"] for launch in rendered for f in launch["findings"] if f["code"].startswith("option-")}
    assert unwanted == set()
    program = len(part_of(Request(engine, parser.version), read_catalog(engine).at(parser.version)).program)
    arguments = [launch["engine_argv"][program:] for launch in rendered]
    objections = parser.objections(arguments)
    refused = [
        (shlex.join(argv), objection) for argv, objection in zip(arguments, objections, strict=True) if objection
    ]
    assert refused == []
    assert len(objections) == SETS
