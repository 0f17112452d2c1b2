# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published configurations: what a token, a window and a request cost, and how many parameters there are."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_cache import (
    kv_per_request,
    kv_per_token,
    kv_range,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import LOCAL
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_models import codes
from model_configs import MODEL_CONFIGS
from places import CHECKOUT


@pytest.mark.parametrize("row", MODEL_CONFIGS, ids=lambda row: row["model"])
def test_published_configuration(row: dict[str, Any]) -> None:
    shape, found = architecture(row["config"])
    assert kv_per_token(shape, float(shape.dtype_bytes)) == row["kv"]
    assert kv_range(shape, float(shape.dtype_bytes)) == (row["kv"], row["kv"])
    windows: dict[int, int] = {}
    for layer in shape.stack:
        if layer.kind in LOCAL:
            windows[layer.span] = windows.get(layer.span, 0) + layer.values * shape.dtype_bytes
    assert windows == row["windows"]
    state = sum(layer.state.size(shape.dtype_bytes) for layer in shape.stack if layer.state)
    if "state" in row or row.get("vllm"):
        assert state == row.get("state", 0)
    if "parameters" in row:
        loaded = shape.parameters - (shape.embedding_parameters - shape.vocab * shape.hidden * (1 if shape.tied else 2))
        loaded -= sum(layer.parameters for layer in shape.mtp)
        assert loaded / 1e9 == pytest.approx(row["parameters"], rel=row.get("parameters_within", 0.02))
    assert {one["code"] for one in found if one["severity"] in ("warn", "fail")} == set()


def test_at_least_sixty_published_configurations_each_with_a_source() -> None:
    assert len({row["model"] for row in MODEL_CONFIGS}) == len(MODEL_CONFIGS)
    assert all(row["source"] and (row.get("vllm") or row["why"]) for row in MODEL_CONFIGS)


def test_an_unknown_family_is_a_range_with_a_finding_and_never_refused() -> None:
    config = {
        "model_type": "tomorrow",
        "num_hidden_layers": 64,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128000,
        "max_position_embeddings": 131072,
        "ring_window_pattern": "RRRG",
    }
    shape, found = architecture(config)
    lowest, highest = kv_range(shape, 2.0)
    assert (lowest, highest) == (highest * 5 // 64, 64 * 8 * 256 * 2)
    unknown = next(one for one in found if one["code"] == "family-unknown")
    assert unknown["severity"] == "warn" and "ring_window_pattern" in unknown["message"]
    assert "family-unknown" in codes(memory_fit({"config": config}, {"gpu": "H100"}, {"tp": 1}, "vllm"))


def test_the_request_has_windows_states_and_what_an_encoder_gave() -> None:
    rows = {row["model"].rpartition("/")[2]: architecture(row["config"])[0] for row in MODEL_CONFIGS}
    assert kv_per_request(rows["Gemma-3-27B"], 2.0) == 52 * 16 * 256 * 2 * 1024
    assert kv_per_request(rows["Gemma-3-27B"], 2.0, context=100) == 52 * 16 * 256 * 2 * 100
    assert kv_per_request(rows["Qwen3.5-27B"], 2.0) == 153944064
    assert kv_per_request(rows["Meta-Llama-3.1-8B"], 2.0) == 0


def test_what_people_leave_out_has_the_default_of_the_class() -> None:
    shape, _ = architecture({"model_type": "gemma3", "text_config": {"num_hidden_layers": 48, "hidden_size": 3840}})
    assert (shape.head_dim, shape.vocab, shape.context, shape.sliding_window, len(shape.growing)) == (
        256,
        262208,
        131072,
        4096,
        8,
    )
    shape, _ = architecture({"model_type": "jamba", "num_hidden_layers": 32})
    assert (len(shape.growing), shape.linear_layers, shape.experts) == (4, 28, 16)


def test_null_is_no_default() -> None:
    shape, _ = architecture({"model_type": "mistral", "sliding_window": None, "num_hidden_layers": 40})
    assert (shape.sliding_layers, len(shape.growing)) == (0, 40)
    shape, _ = architecture({"model_type": "mistral", "num_hidden_layers": 40})
    assert (shape.sliding_layers, shape.sliding_window) == (40, 4096)


FEWEST_COMPARED = 20
"""Families that vLLM builds on a machine without a GPU and without torchvision, at least."""


@pytest.mark.engine
@pytest.mark.skipif(
    "FULLRANK_VLLM_PYTHON" not in os.environ, reason="no interpreter of an environment with vLLM is named"
)
def test_vllm_itself_has_the_same_layers() -> None:
    """One configuration of each family; where vLLM can build it, its own specification is what the table has."""
    families = {row["config"].get("model_type"): row for row in MODEL_CONFIGS if row.get("vllm")}
    rows = [row for row in families.values() if "vision_config" not in row["config"]]
    lines = "\n".join(json.dumps(row["config"]) for row in rows)
    program = [os.environ["FULLRANK_VLLM_PYTHON"], str(CHECKOUT / "tests/unit/vllm_specification.py")]
    done = subprocess.run(program, input=lines, capture_output=True, text=True, check=False, timeout=1500)
    answers = [json.loads(line.removeprefix("GOT ")) for line in done.stdout.splitlines() if line.startswith("GOT ")]
    assert len(answers) == len(rows), done.stderr[-2000:]
    compared = [(row, found) for row, found in zip(rows, answers, strict=True) if "error" not in found]
    for row, found in compared:
        own = {"kv": row["kv"], "state": row.get("state", 0), "windows": row["windows"]}
        windows = {
            int(span) - (row["config"]["model_type"] == "cohere2"): size for span, size in found["windows"].items()
        }
        assert {"kv": found["kv"], "state": found["state"], "windows": windows} == own, row["model"]
    assert len(compared) >= FEWEST_COMPARED, [found.get("error") for found in answers]
