# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What endpoints are asked for, and which of their answers are right."""

from __future__ import annotations

import io
import json
import wave
from email.parser import BytesParser
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import tasks
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.answer import wrong
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import router_paths
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.tasks import GIVEN, Task

# vLLM 0.32.0 on CPU with all-MiniLM-L6-v2, shortened
EMBEDDING = {"object": "list", "model": "minilm", "data": [{"index": 0, "embedding": [0.037, 0.011]}]}
RERANKED = {"id": "score-99", "model": "minilm", "results": [{"index": 0, "relevance_score": 1.000000238418579}]}
POOLED = {"object": "list", "data": [{"index": 0, "object": "pooling", "data": [0.037, 0.011]}]}
# by their protocol files
CLASSIFIED = {"data": [{"index": 0, "label": "LABEL_1", "probs": [0.1, 0.9], "num_classes": 2}]}
SGLANG_RERANKED = [{"score": 0.98, "document": "ping", "index": 0}]

RIGHT: list[tuple[str, str, Any]] = [
    ("generate", "vllm", {"choices": [{"text": "x"}]}),
    ("embed", "vllm", EMBEDDING),
    ("embed", "sglang", EMBEDDING),
    ("score", "vllm", RERANKED),
    ("score", "sglang", SGLANG_RERANKED),
    ("classify", "vllm", CLASSIFIED),
    ("classify", "sglang", CLASSIFIED),
    ("pool", "vllm", POOLED),
    ("transcribe", "vllm", {"text": ""}),
    ("half", "sglang", {"text": "x", "meta_info": {}}),
    ("half", "sglang", [{"text": "x"}]),
]


@pytest.mark.parametrize(("task", "engine", "answer"), RIGHT)
def test_a_right_answer(task: str, engine: str, answer: Any) -> None:
    assert wrong(tasks.smallest(task, engine), json.dumps(answer)) == ""


@pytest.mark.parametrize("task", tasks.ASKED)
@pytest.mark.parametrize(
    "answer", [{}, [], None, 3, "ok", {"error": "x"}, {"data": []}, {"data": [{}]}, {"results": []}]
)
def test_anything_else_is_none(task: str, answer: Any) -> None:
    assert wrong(tasks.smallest(task), json.dumps(answer))


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"x"', "null"])
def test_an_embedding_of_no_numbers_is_none(value: str) -> None:
    """Half precision overflows to this; the server answers 200."""
    assert wrong(tasks.smallest("embed"), f'{{"data": [{{"embedding": [0.1, {value}]}}]}}')


def test_each_task_of_each_engine_has_a_request_that_a_router_passes_on() -> None:
    for engine, able in tasks.ENGINES.items():
        for task in able:
            for question in (tasks.smallest(task, engine), tasks.clients(task, engine)):
                name = "generate" if task == tasks.HALF else task
                assert question.path in router_paths.paths(engine, Task(name, GIVEN, ""))["post"], (engine, task)


def test_a_body_names_the_model() -> None:
    content, kind = tasks.smallest("embed").content("minilm")
    assert (json.loads(content), kind) == ({"model": "minilm", "input": "ping"}, "application/json")


def test_a_transcription_is_asked_for_by_a_form_with_a_sound_file() -> None:
    content, kind = tasks.smallest("transcribe").content("whisper")
    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}  # type: ignore[union-attr]
    assert parts["model"].get_payload().strip() == "whisper"
    with wave.open(io.BytesIO(parts["file"].get_payload(decode=True))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (16000, 1, 1600)
