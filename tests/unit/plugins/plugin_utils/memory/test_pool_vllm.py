# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM takes of a GPU beside weights and KV."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Load
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool_vllm import batch, budget, captured
from memory_logs import GIB, model


def load(name: str = "llama-3.1-8b", board: str = "H100", context: int = 8192, **sizes: int) -> Load:
    described = model(name)
    shape, _ = architecture(described["config"])
    held = described["total_size"] // sizes.get("tp", 1)
    return Load(gpu({"gpu": board}), held, shape, declared("vllm", None, sizes), context)


@pytest.mark.parametrize("release, board, context, args, expected", [
    ("0.7.3", "H100", 8192, {}, (8192, 256)),  # the whole context, without chunked prefill
    ("0.7.3", "H100", 1024, {}, (2048, 256)),
    ("0.7.3", "H100", 131072, {}, (2048, 256)),  # chunked from 32768 on
    ("0.7.3", "H100", 8192, {"enable_chunked_prefill": True}, (2048, 256)),
    ("0.8.0", "H100", 8192, {}, (8192, 1024)),
    ("0.8.0", "A100", 8192, {}, (2048, 1024)),
    ("0.8.5", "A100", 8192, {}, (8192, 1024)),
    ("0.9.0", "A100", 8192, {}, (2048, 256)),  # vllm#17885
    ("0.9.0", "A800", 8192, {}, (8192, 1024)),  # has no a100 in its name
    ("0.19.0", "H100", 8192, {}, (8192, 1024)),
    ("0.19.0", "L40S", 8192, {}, (2048, 256)),
    ("0.19.0", "B200", 8192, {}, (8192, 1024)),
    ("0.28.0", "B200", 8192, {}, (16384, 1024)),
    ("0.32.0", "GB10", 8192, {}, (8192, 1024)),
    ("0.33.0", "GB10", 8192, {}, (2048, 256)),
    ("0.19.0", "H100", 1024, {"max_num_seqs": 2}, (2048, 2)),
    ("0.19.0", "H100", 8192, {"max_num_batched_tokens": 512}, (512, 512)),
])  # fmt: skip
def test_defaults_of_a_batch(
    release: str, board: str, context: int, args: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert batch(engine("vllm", release, args), load(board=board, context=context)) == expected


@pytest.mark.parametrize("sequences, graphs", [(2, 5), (8, 9), (256, 86), (1024, 102)])
def test_graphs_that_are_captured(sequences: int, graphs: int) -> None:
    """Lines "Profiling CUDA graph memory: PIECEWISE=5, FULL=4" with 8 sequences, 51 and 35 with 256."""
    assert captured(engine("vllm", "0.21.0"), sequences) == graphs
    assert captured(engine("vllm", "0.21.0", {"enforce_eager": True}), sequences) == 0


def test_the_sampler_and_the_layers_are_not_added() -> None:
    """vllm#10517: a batch of 20000 tokens needs 2.07 GiB in the layers; the sampler's 1.2 GiB come after they are freed."""
    which = engine("vllm", "0.6.4", {"gpu_memory_utilization": 0.9})
    small, large = (budget(which, load(board="RTX 3090", context=context), 0.0) for context in (2048, 20000))
    assert (small.kv - large.kv) / GIB == pytest.approx(2.07 - 1.2, abs=0.15)


def test_cuda_graphs_are_in_the_budget_from_0_21_on() -> None:
    older, newer = (budget(engine("vllm", release), load(), 0.9) for release in ("0.20.0", "0.21.0"))
    assert 0.3 * GIB < older.kv - newer.kv < 1.5 * GIB
    eager = budget(engine("vllm", "0.21.0", {"enforce_eager": True}), load(), 0.9)
    assert eager.kv == older.kv


def test_links_decide_what_nccl_takes() -> None:
    which = engine("vllm", "0.19.0")
    one, two = (budget(which, load(board="H100", tp=tp), 0.9) for tp in (1, 2))
    cards = budget(which, load(board="H100 PCIe", tp=2), 0.9)
    assert one.kv + 7.48 * GIB - two.kv == pytest.approx(1.85 * GIB, abs=0.05 * GIB)
    assert cards.kv - two.kv == pytest.approx(1.85 * GIB, abs=0.05 * GIB)


def test_a_pool_that_was_set_is_that_pool() -> None:
    taken = budget(engine("vllm", "0.19.0", {"kv_cache_memory_bytes": 5 * GIB}), load(), 0.0)
    assert taken.kv == taken.low == taken.high == 5 * GIB


def test_what_lies_beside_the_fraction_is_looked_at() -> None:
    """A10 with experts (vllm#17327): at 0.9 the CUDA graphs of 0.8.5 find no room; without them there is enough."""
    name = "qwen3-30b-a3b"
    graphs = budget(engine("vllm", "0.8.5"), load(name, "A10", tp=4), 0.9)
    eager = budget(engine("vllm", "0.8.5", {"enforce_eager": True}), load(name, "A10", tp=4), 0.9)
    assert graphs.spare < 0 < eager.spare


def test_an_unknown_release_counts_as_the_newest_with_the_older_sampler_in_its_interval() -> None:
    unknown, newest = (budget(engine("vllm", release), load(), 0.9) for release in (None, "0.33.0"))
    assert unknown.kv == newest.kv and unknown.low < newest.low - 2 * GIB
