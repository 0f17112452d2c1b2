# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment serves its model for: wanted, or as its engine takes it from options and model. Pure; private.

Sources: vllm/config/model.py (0.32: ``_get_default_runner_type``, ``_SUFFIX_TO_DEFAULTS``, ``get_pooling_config``), the
``--task`` of vLLM up to 0.12 (flag catalog), vllm/entrypoints/pooling/factories.py; sglang/srt/configs/model_config.py
(0.4.6.post5, 0.5.23: ``is_generation_model``). What only the engine knows is taken as it does by default, and a wrong guess is
refused where the node's config.json tells (launch/tasks.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.tasks import (
    CLASSIFY,
    EMBED,
    GENERATE,
    HALF,
    POOL,
    SCORE,
    TRANSCRIBE,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import engines, read_catalog

GIVEN, OPTIONS, MODEL, DEFAULT = "engine_task", "engine_args", "config.json", "default"
"""What a task follows from."""


@dataclass(frozen=True)
class Task:
    """name: of ``engine_task``. source: what it follows from. why: in words. probe: another request that shows it."""

    name: str
    source: str
    why: str
    probe: str = ""

    @property
    def question(self) -> str:
        """The key of `tasks.smallest`."""
        return self.probe or self.name


VARIABLES = ("engine_name", "engine_version", "engine_args", "engine_task", "engine_model_info")
"""Of a deployment, from which its task follows."""


def of(variables: Mapping[str, Any]) -> Task:
    """The task of a deployment by the variables of its head."""
    engine = str(variables.get("engine_name") or "")
    values = options(engine, str(variables.get("engine_version") or ""), variables.get("engine_args") or {})
    return task(engine, values, str(variables.get("engine_task") or ""), variables.get("engine_model_info") or {})


def options(engine: str, version: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their canonical names in snake case; those that this version does not know are left out."""
    if engine not in engines():
        return dict(args)
    checked = read_catalog(engine).at(version).check(args, "")
    return {option.key: value for option, value in checked.options}


def task(engine: str, values: Mapping[str, Any], wanted: str = "", model: Mapping[str, Any] | None = None) -> Task:
    """What the model is served for.

    values: the engine's options (`options`). wanted: ``engine_task``, empty where it is not set. model: ``engine_model_info`` or
    what `model_info` returned; of it ``config`` and ``pooling`` count.
    """
    half = str(values.get("disaggregation_mode") or "null")
    if engine == "sglang" and half != "null":
        why = f"disaggregation_mode: {half} does a half of a generation"
        return Task(GENERATE, GIVEN if wanted == GENERATE else OPTIONS, why, HALF)
    if wanted:
        return Task(wanted, GIVEN, f"engine_task: {wanted}")
    return derived(engine, values, model or {})


def derived(engine: str, values: Mapping[str, Any], model: Mapping[str, Any]) -> Task:
    """The same without ``engine_task``."""
    found = by_options(engine, values)
    by_model = of_model(model)
    if found and found.name == EMBED and by_model and by_model.name in (CLASSIFY, SCORE, POOL) and _only_pools(values):
        return by_model
    if found:
        return found
    if by_model and not (engine == "sglang" and _generates(model)):
        return by_model
    return Task(GENERATE, DEFAULT, "engines generate with a model of which nothing else is known")


_OF_TASK = {
    "generate": GENERATE,
    "draft": GENERATE,
    "embed": EMBED,
    "embedding": EMBED,
    "score": SCORE,
    "classify": CLASSIFY,
    "reward": POOL,
    "transcription": TRANSCRIBE,
}
"""The values of vLLM's ``--task``, and of the task in its pooler config."""


def by_options(engine: str, values: Mapping[str, Any]) -> Task | None:
    """What the options say; None where they leave it to the model."""
    if engine == "sglang":
        return Task(EMBED, OPTIONS, "is_embedding: true") if values.get("is_embedding") else None
    if engine != "vllm":
        return None
    requested = str(values.get("task") or "auto")
    if requested in _OF_TASK:
        return Task(_OF_TASK[requested], OPTIONS, f"task: {requested}")
    convert = str(values.get("convert") or "auto")
    if convert in ("embed", "classify", "reward"):
        return Task(_OF_TASK[convert], OPTIONS, f"convert: {convert}")
    for name in ("pooler_config", "override_pooler_config"):
        pooled = str(_mapping(values.get(name)).get("task") or "")
        if pooled:
            return Task(_OF_TASK.get(pooled, POOL), OPTIONS, f"{name}.task: {pooled}")
    runner = str(values.get("runner") or "auto")
    if runner == "generate":
        return Task(GENERATE, OPTIONS, "runner: generate")
    return Task(EMBED, OPTIONS, "runner: pooling") if runner == "pooling" else None


def _only_pools(values: Mapping[str, Any]) -> bool:
    """Whether the options say that a model pools, and not what comes of it."""
    by_name = (values.get("task"), values.get("convert"))
    return all(str(value or "auto") == "auto" for value in by_name)


def _mapping(value: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


TRANSCRIBES = (
    "WhisperForConditionalGeneration",
    "CohereAsrForConditionalGeneration",
    "FireRedASR2ForConditionalGeneration",
    "FunASRForConditionalGeneration",
    "MossTranscribeDiarizeForConditionalGeneration",
)
"""Architectures that do nothing else (vLLM 0.32: ``supports_transcription_only``)."""

_ENDS = (
    (("ForCausalLM", "ForConditionalGeneration", "ChatModel", "LMHeadModel"), GENERATE),
    (
        ("ForSequenceClassification", "ForAudioClassification", "ForImageClassification", "ClassificationModel"),
        CLASSIFY,
    ),
    (("ForTokenClassification", "ForRewardModeling", "RewardModel", "ForRetrieval", "ColBERT"), POOL),
    (("ForTextEncoding", "EmbeddingModel", "ForMaskedLM", "Model"), EMBED),
)
"""Ends of an architecture's name → task, the first that fits (vllm/config/model.py: ``_SUFFIX_TO_DEFAULTS``; of token
classification, rewards and late interaction vLLM answers at /pooling only)."""


def of_model(model: Mapping[str, Any]) -> Task | None:
    """What config.json and the files of Sentence Transformers say; None without a config, or where they say nothing."""
    config = _mapping(model.get("config"))
    named = [str(one) for one in config.get("architectures") or []]
    if model.get("pooling") is True:
        return Task(EMBED, MODEL, "modules.json has a pooling layer")
    for name in named:
        if name in TRANSCRIBES:
            return Task(TRANSCRIBE, MODEL, f"its architecture is {name}")
        found = next((task for ends, task in _ENDS if name.endswith(ends)), "")
        if found == CLASSIFY and len(_mapping(config.get("id2label"))) == 1:
            return Task(SCORE, MODEL, f"its architecture is {name}, with one label")
        if found:
            return Task(found, MODEL, f"its architecture is {name}")
    return None


def _generates(model: Mapping[str, Any]) -> bool:
    """Whether SGLang generates with it unless it gets is_embedding: it looks at the architecture, and into no modules.json."""
    without = of_model({"config": model.get("config")})
    return without is not None and without.name == GENERATE


def added(
    engine: str, values: Mapping[str, Any], known: Mapping[str, bool], wanted: str, model: Mapping[str, Any]
) -> dict[str, Any]:
    """The options that bring an engine to do ``engine_task``, where none of the user's does.

    known: option → whether this version has it.
    """
    if wanted in ("", GENERATE) or by_options(engine, values):
        return {}
    if engine == "sglang" and wanted in (EMBED, CLASSIFY, SCORE, POOL):
        # SGLang scores with a model that generates by its answers (openai/serving_rerank.py)
        return {} if wanted == SCORE and (_generates(model) or values.get("chat_template")) else {"is_embedding": True}
    if engine != "vllm":
        return {}
    if known.get("runner"):
        return {"runner": "pooling"} if wanted != TRANSCRIBE else {}
    words = {EMBED: "embed", SCORE: "score", CLASSIFY: "classify", TRANSCRIBE: "transcription"}
    return {"task": words[wanted]} if wanted in words else {}


FITS = {
    GENERATE: (GENERATE, TRANSCRIBE),
    EMBED: (EMBED, SCORE, POOL),
    SCORE: (SCORE, CLASSIFY, POOL),
    CLASSIFY: (CLASSIFY, SCORE, POOL),
    TRANSCRIBE: (TRANSCRIBE,),
    POOL: (POOL, SCORE),
}
"""What the options ask for → the tasks that can be wanted beside them: vLLM scores by embeddings, by a class and by late
interaction (vllm/tasks.py: ``SCORE_TYPE_MAP``), and answers /pooling for each of them."""

MAKES = {**FITS, GENERATE: (GENERATE, TRANSCRIBE, EMBED, SCORE, CLASSIFY, POOL)}
"""What the model is → the tasks that can be wanted: an engine makes an embedding model or a classifier of one that generates, and
no generator of another."""


def impossible(
    engine: str, values: Mapping[str, Any], wanted: str, model: Mapping[str, Any]
) -> Iterator[tuple[Task, str]]:
    """What stands against ``engine_task``: the other task, and the option that asks for it, ``runner`` for instance, or nothing
    where it is the model."""
    found, by_model = by_options(engine, values), of_model(model)
    if found and wanted not in (FITS[found.name] if engine == "vllm" else (EMBED, SCORE, CLASSIFY, POOL)):
        yield found, found.why.partition(":")[0]
    elif by_model and wanted not in MAKES[by_model.name]:
        yield by_model, ""
