# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of a launch: its options, and what is refused before the start."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import tasks as endpoint_tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render

BERT = {"config": {"architectures": ["BertModel"]}}
LLAMA = {"config": {"architectures": ["LlamaForCausalLM"]}}
VERSIONS = (
    ("vllm", "0.8.5.post1"),
    ("vllm", "0.9.2"),
    ("vllm", "0.11.1"),
    ("vllm", "0.32.0"),
    ("sglang", "0.4.6"),
    ("sglang", "0.5.12"),
    ("lmdeploy", "0.10.2"),
)


def launch(engine: str, version: str, **more: Any) -> dict[str, Any]:
    usual = {"model": "/srv/m", "served_model_name": "m", "api_key": "sk-0123456789"}
    return render({"engine": engine, "engine_version": version, **usual, **more}, read_catalog(engine))


def about(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["code"], one["remedy"]) for one in found["findings"] if one["code"].startswith("task-")]


@pytest.mark.parametrize(
    ("engine", "version", "task", "words"),
    [
        ("vllm", "0.32.0", "embed", ["--runner", "pooling"]),
        ("vllm", "0.32.0", "score", ["--runner", "pooling"]),
        ("vllm", "0.9.2", "embed", ["--task", "embed"]),
        ("vllm", "0.9.2", "transcribe", ["--task", "transcription"]),
        ("sglang", "0.5.12", "embed", ["--is-embedding"]),
    ],
)
def test_a_task_that_is_given_brings_its_option(engine: str, version: str, task: str, words: list[str]) -> None:
    found = launch(engine, version, task=task)
    assert " ".join(words) in " ".join(found["engine_argv"])
    assert found["origins"][words[0]] == "engine_task"
    assert about(found) == []


def test_an_option_of_the_user_stays_alone() -> None:
    found = launch("vllm", "0.20.2", task="embed", engine_args={"convert": "embed"})
    assert "--runner" not in found["engine_argv"] and about(found) == []


def test_a_launch_without_a_task_is_what_it_was() -> None:
    assert launch("vllm", "0.32.0", task="generate")["engine_argv"] == launch("vllm", "0.32.0")["engine_argv"]


@pytest.mark.parametrize(
    ("engine", "version", "options", "code"),
    [
        ("vllm", "0.20.2", {"task": "generate", "engine_args": {"runner": "pooling"}}, "task-against-options"),
        ("vllm", "0.20.2", {"task": "embed", "engine_args": {"runner": "generate"}}, "task-against-options"),
        ("vllm", "0.32.0", {"task": "generate", "model_info": BERT}, "task-against-model"),
        ("vllm", "0.8.5.post1", {"task": "classify"}, "task-of-version"),
        ("sglang", "0.5.12", {"task": "generate", "engine_args": {"is_embedding": True}}, "task-against-options"),
        (
            "sglang",
            "0.5.12",
            {"task": "embed", "engine_args": {"disaggregation_mode": "decode"}},
            "task-against-options",
        ),
        ("sglang", "0.4.6", {"engine_args": {"disaggregation_mode": "prefill"}}, "task-of-version"),
        ("sglang", "0.5.12", {"task": "pool"}, "task-of-engine"),
        ("lmdeploy", "0.10.2", {"task": "embed"}, "task-of-engine"),
        ("lmdeploy", "0.10.2", {"model_info": BERT}, "task-of-engine"),
        # the inventory alone has generate, and the model on the node embeds
        ("vllm", "0.32.0", {"expected_task": "generate", "model_info": BERT}, "task-of-model"),
    ],
)
def test_what_cannot_be_is_refused(engine: str, version: str, options: dict[str, Any], code: str) -> None:
    assert [found for found, _remedy in about(launch(engine, version, **options))] == [code]


def test_embeddings_that_sglang_would_not_make_are_a_warning() -> None:
    found = launch("sglang", "0.5.12", model_info={**LLAMA, "pooling": True})
    assert [(one["code"], one["severity"]) for one in found["findings"] if one["code"].startswith("task-")] == [
        ("task-of-model", "warn")
    ]


ARGS: dict[str, list[dict[str, Any]]] = {
    "vllm": [{}, {"runner": "pooling"}, {"runner": "generate"}, {"convert": "classify"}, {"task": "embed"}],
    "sglang": [{}, {"is_embedding": True}, {"disaggregation_mode": "prefill"}],
    "lmdeploy": [{}],
}


@pytest.mark.parametrize(("engine", "version"), VERSIONS)
def test_every_remedy_is_accepted(engine: str, version: str) -> None:
    """What a remedy offers is tried: a task, an option less, a version, an engine."""
    for args, task, info in itertools.product(ARGS[engine], [None, *endpoint_tasks.TASKS], [{}, BERT, LLAMA]):
        options = {"engine_args": args, "task": task, "model_info": info}
        found = about(launch(engine, version, **options))
        for _code, remedy in found:
            offers = list(offered(engine, version, options, remedy))
            assert offers, remedy
            for name, number, changed in offers:
                assert about(launch(name, number, **changed)) == [], (engine, version, options, remedy, changed)


def offered(engine: str, version: str, options: dict[str, Any], remedy: str) -> Any:
    for offer in remedy.split(", or "):
        if out := re.fullmatch(r"leave engine_args\.(\w+) out", offer):
            rest = {key: value for key, value in options["engine_args"].items() if key != out[1]}
            yield engine, version, {**options, "engine_args": rest}
        elif newer := re.fullmatch(r"set engine_version to (\S+) or newer", offer):
            yield engine, newer[1], options
        elif other := re.fullmatch(r"set engine_name: (\w+)( and leave engine_task out)?", offer):
            task = None if other[2] else options["task"]
            yield other[1], read_catalog(other[1]).versions[-1], {**options, "engine_args": {}, "task": task}
        elif named := re.fullmatch(r"write engine_task: (\w+)", offer):
            yield engine, version, {**options, "task": named[1]}
        else:
            assert offer in ("leave engine_task out", "generate where it is meant"), offer
            yield engine, version, {**options, "task": None if offer.startswith("leave") else "generate"}
