# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program for the interpreter beside vLLM: what its own KV cache specification has for a config.json.

It reads one config.json per line and prints one line per answer, ``GOT {...}``. Each model is built whole, on the meta device, so
that nothing is allocated; then every layer is asked for its specification, and the parameters are counted. Seen with vLLM 0.32 on
a CPU. Checkpoints count without quantization, because kernels for it want a GPU. A model that cannot be built here answers with
an error.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.update(
    HF_HUB_OFFLINE="1",
    VLLM_LOGGING_LEVEL="ERROR",
    VLLM_NO_USAGE_STATS="1",
    VLLM_ALLOW_LONG_MAX_MODEL_LEN="1",
    CUDA_VISIBLE_DEVICES="",
)
QUANTIZATION = ("quantization_config", "compression_config", "auto_map")


def plain(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: plain(value) for name, value in config.items() if name not in QUANTIZATION}
    return config


def register(config: dict[str, Any]) -> None:
    """A model type that is only code beside the weights becomes a class without defaults."""
    from transformers import AutoConfig, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from vllm.transformers_utils.config import _CONFIG_REGISTRY

    name = config.get("model_type")
    if name and name not in CONFIG_MAPPING and name not in _CONFIG_REGISTRY:
        AutoConfig.register(name, type("Plain", (PretrainedConfig,), {"model_type": name}), exist_ok=True)


def specification(config: dict[str, Any]) -> dict[str, Any]:
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
    from vllm.model_executor.model_loader.utils import initialize_model

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config))
        options = {
            "skip_tokenizer_init": True,
            "enforce_eager": True,
            "load_format": "dummy",
            "enable_prefix_caching": False,
        }
        engine = EngineArgs(model=folder, **options).create_engine_config()
        with set_current_vllm_config(engine):
            with torch.device("meta"):
                model = initialize_model(engine)
            layers = engine.compilation_config.static_forward_context.values()
            specs = [layer.get_kv_cache_spec(engine) for layer in layers if isinstance(layer, AttentionLayerBase)]
    context = engine.model_config.max_model_len
    growing, windows, state = 0.0, {}, 0
    for spec in filter(None, specs):
        span = getattr(spec, "sliding_window", None) or getattr(spec, "attention_chunk_size", None) or 0
        kind = type(spec).__name__
        if kind == "MambaSpec":
            state += spec.state_content_size_bytes
        elif kind in ("FullAttentionSpec", "MLAAttentionSpec") or span >= context:
            growing += spec.page_size_bytes / spec.block_size
        elif kind != "CrossAttentionSpec":
            windows[span] = windows.get(span, 0) + spec.page_size_bytes // spec.block_size
    parameters = sum(one.numel() for one in model.parameters())
    return {"kv": round(growing), "windows": windows, "state": state, "parameters": round(parameters / 1e9, 2)}


def main() -> None:
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda inspect: inspect()  # one process is enough to look at a class
    with tempfile.TemporaryDirectory() as folder, set_current_vllm_config(VllmConfig()):
        init_distributed_environment(1, 0, f"file://{folder}/store", 0, backend="gloo")
        initialize_model_parallel(1, 1)
        for line in sys.stdin:
            config = plain(json.loads(line))
            try:
                register(config)
                found = specification(config)
            except Exception as problem:
                found = {"error": repr(problem)[:300]}
            print("GOT", json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
