# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine makes of a checkpoint's bytes when it loads them: what stays on disk, what is padded. Bytes on one GPU.

Sources
-------
* Layers for multi token prediction are loaded for speculative decoding only: both engines skip their names otherwise. A log of
  vLLM with DeepSeek-R1 on 8 GPUs has 79.7 GiB per GPU, where the whole checkpoint divided by 8 has 81.1.
* MXFP4 experts are padded: the inner width per GPU to a multiple of 64 or 128, the outer one to a multiple of 256
  (``mxfp4_round_up_hidden_size_and_intermediate_size`` in vllm/model_executor/layers/fused_moe/oracle/mxfp4.py, 0.32).
  gpt-oss-120b on one GPU, instead of 60.77 GiB: 65.97 with vLLM 0.10 (vllm#23278), 64.38 later (llm-d-benchmark's results).
  On 8 GPUs of another kind it was more than so computed: 9.98 instead of 8.6 (vllm#51590).
* Latent attention: both engines keep the expansion of KV once more, in 16 bit, for decoding (``w_kc`` and ``w_vc`` in
  sglang/srt/models/deepseek_v2.py, ``W_UV`` and ``W_UK_T`` in vllm/model_executor/layers/attention/mla_attention.py).
* SGLang's attention groups hold the embedding whole on each GPU (``enable_tp=not is_dp_attention_enabled()`` of its
  ``VocabParallelEmbedding``).
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import Line, line, parts

MXFP4_INNER, MXFP4_INNER_OLDER, MXFP4_OUTER = 64, 128, 256


def as_loaded(held: int, shape: Architecture, sizes: Parallel, which: Engine) -> tuple[int, list[Line]]:
    """Bytes on one GPU as the engine holds them, from ``held`` bytes of the checkpoint, and what changed."""
    lines: list[Line] = []
    if shape.mtp_layers and not which.speculative and shape.parameters:
        left = int(held * draft_parameters(shape) / shape.parameters)
        held -= left
        lines.append(
            line("multi token prediction, not loaded", f"{shape.mtp_layers} layers stay on disk", -left, "bytes")
        )
    if shape.quantization.method == "mxfp4" and shape.moe_intermediate and shape.parameters:
        unit = MXFP4_INNER if which.since(0, 11) or which.name != "vllm" else MXFP4_INNER_OLDER
        more = int(held * mxfp4_padding(shape, sizes, unit))
        held += more
        lines.append(line("MXFP4 experts, padded", f"to multiples of {unit} and {MXFP4_OUTER}", more, "bytes"))
    if shape.mla and which.name in ("vllm", "sglang"):
        more = absorbed(shape, sizes)
        held += more
        lines.append(line("latent attention, for decoding once more", "the expansion of KV in 16 bit", more, "bytes"))
    if sizes.attention_dp > 1 and which.name == "sglang":
        more = int(2 * shape.vocab * shape.hidden * (1 - 1 / sizes.tp))
        held += more
        lines.append(line("embedding, whole on each GPU", f"2 x {shape.vocab} x {shape.hidden}", more, "bytes"))
    return held, lines


def absorbed(shape: Architecture, sizes: Parallel) -> int:
    """Bytes of the second copy of latent attention's expansion on one GPU of the fullest stage."""
    heads = parts(shape.heads, sizes.attention_tp)
    wide = shape.head_dim - shape.qk_rope + shape.v_head_dim
    return 2 * parts(shape.layers, sizes.pp) * heads * shape.kv_lora_rank * max(0, wide)


def draft_parameters(shape: Architecture) -> int:
    """Parameters of the layers for multi token prediction, with their own copies of embedding and head."""
    mlp = 3 * shape.hidden * (shape.experts * shape.moe_intermediate + shape.shared_intermediate)
    mlp = mlp or 3 * shape.hidden * shape.intermediate
    layer = shape.attention_parameters + mlp + shape.experts * shape.hidden + 2 * shape.hidden**2
    copies = shape.vocab * shape.hidden * (1 if shape.tied else 2)
    return min(shape.parameters, shape.mtp_layers * (layer + copies))


def mxfp4_padding(shape: Architecture, sizes: Parallel, unit: int = MXFP4_INNER) -> float:
    """By which part of themselves the weights of one GPU grow."""
    inner = parts(shape.moe_intermediate, sizes.expert_tp)
    padded = parts(inner, unit) * unit * parts(shape.hidden, MXFP4_OUTER) * MXFP4_OUTER
    # 4.25 bits per weight of an expert, 16 per other weight
    experts = shape.expert_parameters * 4.25
    share = experts / (experts + 16 * max(0, shape.parameters - shape.expert_parameters))
    return share * (padded / (inner * shape.hidden) - 1)
