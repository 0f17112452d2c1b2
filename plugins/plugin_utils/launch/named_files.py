# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders of the node that options of an engine name: they must be on each node that reads them, and in its container.

The tables were made from the catalogs (a test asks that every option with a name like a file's is in one of them) and from where
each engine opens the file: vllm/engine/arg_utils.py, vllm/entrypoints/openai/cli_args.py, vllm/config (0.11.1, 0.33.0),
sglang/srt/server_args.py and arg_groups (0.5.5, 0.5.23), lmdeploy/cli/serve.py and cli/utils.py (0.18.0).

Only what begins with / is known to be a path: everything else can be a name in a hub, a template in place, or a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.docker import confinement
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import containers
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request

FILE, FOLDER, ADAPTERS, KEYS = "file", "folder", "adapters", "keys"
"""How a value names paths: the path of one file; of a folder with a model, or a file; ``name=path``, a path or JSON, several;
JSON with paths in it."""

READ: Mapping[str, Mapping[str, str]] = {
    "vllm": {
        "chat_template": FILE,
        "config": FILE,
        "default_mm_loras": KEYS,
        "generation_config": FOLDER,
        "hf_config_path": FOLDER,
        "log_config_file": FILE,
        "lora_modules": ADAPTERS,
        "mm_encoder_fp8_scale_path": FILE,
        "prompt_adapters": ADAPTERS,
        "qlora_adapter_name_or_path": FOLDER,
        "reasoning_parser_plugin": FILE,
        "speculative_config": KEYS,
        "speculative_model": FOLDER,
        "ssl_ca_certs": FILE,
        "ssl_certfile": FILE,
        "ssl_keyfile": FILE,
        "tokenizer": FOLDER,
        "tool_parser_plugin": FILE,
    },
    "sglang": {
        "chat_template": FILE,
        "completion_template": FILE,
        "debug_tensor_dump_input_file": FILE,
        "decrypted_config_file": FILE,
        "decrypted_draft_config_file": FILE,
        "deepep_config": FILE,
        "dllm_algorithm_config": FILE,
        "ds_channel_config_path": FILE,
        "flexkv_config_file": FILE,
        "init_expert_location": FILE,
        "kt_amx_weight_path": FOLDER,
        "kt_weight_path": FOLDER,
        "lmcache_config_file": FILE,
        "lora_paths": ADAPTERS,
        "modelopt_checkpoint_restore_path": FOLDER,
        "msprobe_dump_config": FILE,
        "pdmux_config_path": FILE,
        "quantization_param_path": FILE,
        "rl_quant_profile": FILE,
        "speculative_adaptive_config": FILE,
        "speculative_draft_model_path": FOLDER,
        "speculative_dspark_confidence_sts_path": FILE,
        "speculative_dspark_sps_table_path": FILE,
        "speculative_ngram_external_corpus_path": FILE,
        "speculative_token_map": FILE,
        "ssl_ca_certs": FILE,
        "ssl_certfile": FILE,
        "ssl_keyfile": FILE,
        "tokenizer_path": FOLDER,
        "uno_lora_path": FOLDER,
        "watermark_config": FILE,
    },
    "lmdeploy": {
        "adapters": ADAPTERS,
        "chat_template": FILE,
        "generation_config": FOLDER,
        "speculative_draft_model": FOLDER,
    },
}
JSON_KEYS: Mapping[str, tuple[str, ...]] = {"speculative_config": ("model",)}
"""Keys of a JSON value with a path; of others every value."""
SERVER = frozenset(
    (
        *("chat_template", "completion_template", "log_config_file", "reasoning_parser_plugin", "tool_parser_plugin"),
        *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    )
)
"""Read by the HTTP server alone, and so on ranks that have one."""
WRITTEN: Mapping[str, tuple[str, ...]] = {
    "vllm": ("download_dir", "mm_encoder_fp8_scale_save_path"),
    "sglang": (
        "download_dir",
        "export_metrics_to_file_dir",
        "file_storage_path",
        "file_storage_pth",
        "modelopt_checkpoint_save_path",
        "modelopt_export_path",
        "ple_offload_dir",
        "spec_trace_dir",
    ),
    "lmdeploy": ("download_dir",),
}
"""Where an engine writes: a mount for it is the user's choice."""
VARIABLES = ("LMCACHE_CONFIG_FILE", "MOONCAKE_CONFIG_PATH", "VLLM_LOGGING_CONFIG_PATH", "VLLM_TUNED_CONFIG_FOLDER")
"""Variables of the environment that name a file (docs.lmcache.ai, vllm/envs.py 0.33.0, mooncake_store.py)."""


@dataclass(frozen=True)
class Named:
    """A path of the node, where it was written, and how."""

    path: str
    where: str
    shape: str


def named(request: Request, values: Mapping[str, Any], env: Mapping[str, Any], *, serves: bool) -> list[Named]:
    """What this rank reads of its node beside the model, each path once. values: option in snake case → value. serves: whether
    the rank has an HTTP server."""
    table, args = READ.get(request.engine, {}), request.variable("engine_args")
    found: dict[str, Named] = {}
    for option, shape in table.items():
        if option in SERVER and not serves:
            continue
        for path in _paths(option, shape, values.get(option)):
            found.setdefault(path, Named(path, f"{args}.{option}", shape))
    for name in VARIABLES:
        path = str(env.get(name) or "")
        if path.startswith("/"):
            found.setdefault(path, Named(path, f"{request.variable('env')}.{name}", FILE))
    own = (request.model or "").rstrip("/")
    return [one for one in found.values() if not own or not f"{one.path}/".startswith(f"{own}/")]


def to_mount(request: Request, wanted: list[Named]) -> list[dict[str, Any]]:
    """Mounts for what lies under none of the user's; a folder within a protected tree is left to the user."""
    own = [one for one in wanted if not containers.covers(request.mounts, one.path) and not _protected(one)]
    return [{"source": one.path, "read_only": True} for one in own]


def check(request: Request, wanted: list[Named]) -> Iterator[Finding]:
    """Folders that are not mounted by themselves: with all that lies in them they could give the container its node."""
    if not request.is_container:
        return
    for one in wanted:
        if _protected(one) and not containers.covers(request.mounts, one.path):
            message = f"{one.path} is a folder of the node, and not in the container"
            remedy = f"put it elsewhere, such as beside the weights, or name it in {request.variable('mounts')}"
            yield failed("folder-not-mounted", one.where, message, remedy)


def _protected(one: Named) -> bool:
    """One file that an option names may be read; a folder in a protected tree is judged like a mount of the user's."""
    return one.shape != FILE and bool(confinement.exposed(one.path, read_only=True))


def _paths(option: str, shape: str, value: Any) -> Iterator[str]:
    items = value if isinstance(value, (list, tuple)) else [value]
    for item in items:
        if shape == ADAPTERS:
            yield from _adapter(item)
        elif shape == KEYS:
            yield from _in_json(option, item)
        elif isinstance(item, str) and item.startswith("/"):
            yield item.rstrip("/") or "/"


def _adapter(item: Any) -> Iterator[str]:
    """``name=path``, a path, or JSON with ``path`` or ``lora_path``."""
    if isinstance(item, str) and item.startswith("{"):
        try:
            item = json.loads(item)
        except ValueError:
            return
    if isinstance(item, Mapping):
        values = [item.get(key) for key in ("path", "lora_path")]
    else:
        values = [str(item or "").partition("=")[2] or item]
    yield from (value.rstrip("/") or "/" for value in values if isinstance(value, str) and value.startswith("/"))


def _in_json(option: str, item: Any) -> Iterator[str]:
    if not isinstance(item, Mapping):
        return
    keys = JSON_KEYS.get(option, tuple(item))
    values = [item.get(key) for key in keys]
    yield from (value.rstrip("/") or "/" for value in values if isinstance(value, str) and value.startswith("/"))
