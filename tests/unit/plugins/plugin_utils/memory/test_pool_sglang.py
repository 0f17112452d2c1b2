# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SGLang takes of a GPU beside weights and KV."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Load
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool_sglang import budget, free_before, reserved
from memory_logs import GIB, model
from memory_models import VECTORS


def load(name: str = "llama-3.1-8b", board: str = "H100", mib: int = 0, **sizes: Any) -> Load:
    described = model(name)
    shape, _ = architecture(described["config"])
    held = described["total_size"] // sizes.get("tp", 1)
    return Load(gpu({"gpu": board, "memory_mib": mib}), held, shape, declared("sglang", None, sizes))


@pytest.mark.parametrize("vector", VECTORS["sglang_fractions"], ids=lambda v: f"{v['release']}-{v['mib']}-tp{v['tp']}")
def test_fraction_when_unset(vector: dict[str, Any]) -> None:
    sizes = {"tp": vector["tp"], "dp": vector.get("dp"), "dp_attention": "dp" in vector}
    reserve, _ = reserved(engine("sglang", vector["release"], vector.get("args")), load(mib=vector["mib"], **sizes))
    assert 1 - reserve / vector["mib"] == pytest.approx(vector["fraction"], abs=0.0006)


@pytest.mark.parametrize("release, name, args, more", [
    ("0.5.9", "llama-3.1-8b", {}, 0),
    ("0.5.10", "llama-3.1-8b", {}, 464),  # 58 sizes of 8 MiB up to a chunk of 8192
    ("0.5.10", "deepseek-r1", {}, 1536),
    ("0.5.10", "llama-3.1-8b", {"disable_piecewise_cuda_graph": True}, 0),
    ("0.5.13", "llama-3.1-8b", {"speculative_algorithm": "EAGLE"}, 2048),
    ("0.5.14", "llama-3.1-8b", {"speculative_algorithm": "EAGLE"}, 0),
    ("0.5.12", "deepseek-r1", {"moe_a2a_backend": "deepep"}, 0),
    ("0.5.23", "deepseek-r1", {"moe_a2a_backend": "deepep"}, 2048),
])  # fmt: skip
def test_what_is_reserved_beside_the_common_part(release: str, name: str, args: dict[str, Any], more: int) -> None:
    common = 512 + 1.5 * 8192 + 2 * 512 + 1024
    reserve, formula = reserved(engine("sglang", release, args), load(name, tp=8))
    assert reserve == common + more, formula


@pytest.mark.parametrize("release, board, tp, printed", [
    # "Load weight begin. avail mem" of published logs
    ("0.4.1", "H100", 1, 78.81),
    ("0.5.8", "H100", 1, 78.43),
    ("0.4.3", "L4", 4, 21.63),
    ("0.5.10", "RTX 4090", 2, 22.93),
    ("0.5.2", "H100", 8, 77.43),
    ("0.5.4", "H200", 8, 137.29),
    ("0.5.0", "B200", 4, 175.34),
])  # fmt: skip
def test_free_memory_before_loading(release: str, board: str, tp: int, printed: float) -> None:
    first = free_before(engine("sglang", release), load(board=board, tp=tp))
    assert abs(first.size / GIB - printed) < 0.9
    assert (first.size - first.above) / GIB <= printed <= (first.size + first.below) / GIB


def test_state_of_linear_layers_takes_its_share() -> None:
    """Qwen3.5-9B on two RTX 4090: 9.49 GiB beside the weights, 4.48 of state and 5.00 of KV."""
    whole = budget(engine("sglang", "0.5.10", {"disable_radix_cache": True}), load("qwen3.5-9b", "RTX 4090", tp=2), 0.8)
    shared = budget(engine("sglang", "0.5.10"), load("qwen3.5-9b", "RTX 4090", tp=2), 0.8)
    more_state = budget(
        engine("sglang", "0.5.10", {"mamba_full_memory_ratio": 3}), load("qwen3.5-9b", "RTX 4090", tp=2), 0.8
    )
    assert shared.kv == pytest.approx(whole.kv / 1.9, rel=1e-6)
    assert more_state.kv == pytest.approx(whole.kv / 4, rel=1e-6)


def test_all_to_all_widens_the_interval_downwards() -> None:
    deployed = load("deepseek-r1", "H200", tp=8)
    plain = budget(engine("sglang", "0.5.9"), deployed, 0.85)
    deepep = budget(engine("sglang", "0.5.9", {"moe_a2a_backend": "deepep"}), deployed, 0.85)
    assert deepep.kv == plain.kv and deepep.low < plain.low - 8 * GIB and deepep.high == plain.high
