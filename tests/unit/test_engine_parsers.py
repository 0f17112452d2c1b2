"""The command lines that we render, given to the parsers of really installed engines."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from random import Random
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog_files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import ENGINES, render
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch_request import Request
from option_samples import Sampler

SETS = 50
READ_FURTHER = {"config", "cuda_graph_config", "lora_modules", "mm_processor_device"}
"""Options whose text the parser itself reads further (the name of a file that must exist, JSON of a fixed form), and one
whose choices depend on the machine."""

ANSWERS = """
import contextlib, io, json, sys
def answers(parse):
    for argv in json.load(sys.stdin):
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                parse(argv)
        except (SystemExit, Exception) as error:
            yield said.getvalue().strip() or repr(error)
        else:
            yield ""
"""

PARSERS = {
    "vllm": """
from vllm.entrypoints.cli import serve
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
for command in serve.cmd_init():
    command.subparser_init(parser.add_subparsers(dest="subparser"))
parse = lambda argv: parser.parse_args(["serve", *argv])
""",
    "sglang": """
import argparse
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
parse = parser.parse_args
""",
    "ray": """
from ray.scripts.scripts import start
parse = lambda argv: start.make_context("start", argv)
""",
}
INSTALLED_WITH = {"ray": "vllm"}

VERSION = "import importlib.metadata as m; print(m.version('{}').split('+')[0])"


def python_of(engine: str) -> list[str]:
    variable = f"FULLRANK_{INSTALLED_WITH.get(engine, engine).upper()}_PYTHON"
    if variable not in os.environ:
        pytest.skip(f"{variable} does not name the interpreter of an installed {engine} (make engines)")
    return shlex.split(os.environ[variable])


def run(python: list[str], code: str, stdin: str = "") -> str:
    environment = {**os.environ, "TORCH_COMPILE_DISABLE": "1", "SGLANG_USE_CPU_ENGINE": "1"}
    done = subprocess.run(
        [*python, "-c", code], input=stdin, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def launches(engine: str, version: str) -> list[dict[str, Any]]:
    """Option sets by chance, over ranks, sizes and runtimes."""
    known = read_catalog(engine).at(version)
    random = Random(20)
    sampler = Sampler(random, objects=({},))
    found = []
    for _ in range(SETS):
        rank, nnodes = random.choice([(0, 1), (0, 2), (1, 2)])
        given = {
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
        call = ENGINES[engine].call(Request.from_options(given), known)
        taken = {option.key for name in (*call.args, *call.owned, *call.head_only) if (option := known.lookup(name))}
        found.append(given | {"engine_args": sampler.option_set(known, taken | READ_FURTHER)})
    return found


@pytest.mark.engine
@pytest.mark.parametrize("engine", sorted(PARSERS))
def test_the_engine_accepts_what_we_render(engine: str) -> None:
    python = python_of(engine)
    version = run(python, VERSION.format(engine)).strip()
    rendered = [render(options, read_catalog(engine)) for options in launches(engine, version)]
    unwanted = {f["code"] for launch in rendered for f in launch["findings"] if f["code"].startswith("option-")}
    assert unwanted == set()
    program = len(ENGINES[engine].call(Request(engine, version), read_catalog(engine).at(version)).program)
    arguments = [launch["engine_argv"][program:] for launch in rendered]
    code = f"{ANSWERS}{PARSERS[engine]}print('ANSWERS' + json.dumps(list(answers(parse))))"
    answers = json.loads(run(python, code, json.dumps(arguments)).rpartition("ANSWERS")[2])
    refused = [(shlex.join(argv), answer) for argv, answer in zip(arguments, answers, strict=True) if answer]
    assert refused == []
    assert len(answers) == SETS
