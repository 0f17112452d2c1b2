# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment serves its model for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import tasks

BERT = {"config": {"architectures": ["BertModel"]}}
LLAMA = {"config": {"architectures": ["LlamaForCausalLM"]}}


def model(architecture: str, **more: Any) -> dict[str, Any]:
    return {"config": {"architectures": [architecture], **more}}


@pytest.mark.parametrize(
    ("engine", "version", "args", "task"),
    [
        ("vllm", "0.32.0", {}, "generate"),
        ("vllm", "0.20.2", {"runner": "pooling"}, "embed"),
        ("vllm", "0.20.2", {"--runner": "pooling", "convert": "classify"}, "classify"),
        ("vllm", "0.20.2", {"pooler-config": '{"task": "token_embed"}'}, "pool"),
        ("vllm", "0.20.2", {"runner": "generate"}, "generate"),
        ("vllm", "0.8.5", {"task": "embed"}, "embed"),
        ("vllm", "0.9.2", {"task": "embedding"}, "embed"),
        ("vllm", "0.9.2", {"task": "score"}, "score"),
        ("vllm", "0.9.2", {"task": "reward"}, "pool"),
        ("vllm", "0.9.2", {"task": "transcription"}, "transcribe"),
        ("vllm", "0.9.2", {"task": "auto"}, "generate"),
        ("sglang", "0.5.12", {"is-embedding": True}, "embed"),
        ("sglang", "0.5.12", {"is_embedding": False}, "generate"),
        ("lmdeploy", "0.10.2", {}, "generate"),
        ("", "", {"runner": "pooling"}, "generate"),
    ],
)
def test_by_options(engine: str, version: str, args: dict[str, Any], task: str) -> None:
    assert tasks.of({"engine_name": engine, "engine_version": version, "engine_args": args}).name == task


@pytest.mark.parametrize(
    ("info", "task"),
    [
        (BERT, "embed"),
        (LLAMA, "generate"),
        ({**LLAMA, "pooling": True}, "embed"),
        (model("XLMRobertaModel"), "embed"),
        (model("Qwen2VLForConditionalGeneration"), "generate"),
        (model("WhisperForConditionalGeneration"), "transcribe"),
        (model("XLMRobertaForSequenceClassification", id2label={"0": "LABEL_0"}), "score"),
        (model("BertForSequenceClassification", id2label={"0": "a", "1": "b"}), "classify"),
        (model("BertForSequenceClassification"), "classify"),
        (model("InternLM2ForRewardModel"), "pool"),
        (model("BertForTokenClassification"), "pool"),
        (model("HF_ColBERT"), "pool"),
        (model("SomethingNew"), "generate"),
        ({"config": {}}, "generate"),
        ({}, "generate"),
    ],
)
def test_by_the_model_as_vllm_takes_it(info: dict[str, Any], task: str) -> None:
    variables = {"engine_name": "vllm", "engine_version": "0.32.0", "engine_model_info": info}
    assert tasks.of(variables).name == task


def test_sglang_generates_with_an_embedding_model_of_a_generator_unless_set() -> None:
    variables = {"engine_name": "sglang", "engine_version": "0.5.12", "engine_model_info": {**LLAMA, "pooling": True}}
    assert tasks.of(variables).name == "generate"
    assert tasks.of({**variables, "engine_args": {"is_embedding": True}}).name == "embed"
    assert tasks.of({**variables, "engine_model_info": BERT}).name == "embed"


def test_runner_pooling_leaves_to_the_model_what_comes_of_it() -> None:
    values = {"runner": "pooling"}
    assert (
        tasks.task("vllm", values, "", model("XLMRobertaForSequenceClassification", id2label={"0": "x"})).name
        == "score"
    )
    assert (
        tasks.task("vllm", {**values, "convert": "embed"}, "", model("BertForSequenceClassification")).name == "embed"
    )


@pytest.mark.parametrize("mode", ["prefill", "decode"])
def test_a_half_of_a_generation_is_asked_for_otherwise(mode: str) -> None:
    found = tasks.of(
        {"engine_name": "sglang", "engine_version": "0.5.12", "engine_args": {"disaggregation_mode": mode}}
    )
    assert (found.name, found.question) == ("generate", "half")


def test_what_is_given_counts() -> None:
    found = tasks.of(
        {"engine_name": "vllm", "engine_version": "0.32.0", "engine_task": "score", "engine_model_info": BERT}
    )
    assert (found.name, found.source, found.question) == ("score", tasks.GIVEN, "score")
