# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that options name: in every spelling, on the ranks that read them, and in their containers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import named_files
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render

BASE: dict[str, Any] = {
    "nnodes": 2,
    "head_address": "192.0.2.10",
    "rank_address": "192.0.2.10",
    "rank_addresses": ["192.0.2.10", "192.0.2.11"],
    "interface": "eth0",
    "model": "/srv/models/m",
    "served_model_name": "m",
    "tensor_parallel_size": 16,
    "gpus_per_node": 8,
    "api_key": "sk-0123456789",
}
VERSIONS = {"vllm": "0.20.2", "sglang": "0.5.12", "lmdeploy": "0.18.0"}
SECOND = {"rank": 1, "rank_address": "192.0.2.11"}
IN_DOCKER = {"runtime": "docker", "image": "engine:1"}


def launch(engine: str, arguments: dict[str, Any], **changes: Any) -> dict[str, Any]:
    executor = {"executor": "ray"} if engine == "lmdeploy" else {}
    options = BASE | executor | {"engine": engine, "engine_version": VERSIONS[engine], "engine_args": arguments}
    return render(options | changes, read_catalog(engine))


@pytest.mark.parametrize(
    ("engine", "arguments", "expected"),
    [
        ("vllm", {"chat_template": "/t/chat.jinja"}, ["/t/chat.jinja"]),
        ("vllm", {"chat-template": "{{ messages }}"}, []),
        ("vllm", {"tool_parser_plugin": "/p/tools.py", "tool_call_parser": "mine"}, ["/p/tools.py"]),
        ("vllm", {"reasoning_parser_plugin": "/p/think.py"}, ["/p/think.py"]),
        ("vllm", {"tokenizer": "/t/tok", "hf_config_path": "org/name"}, ["/t/tok"]),
        ("vllm", {"lora_modules": ["a=/l/a", "b=org/b", '{"name": "c", "path": "/l/c"}']}, ["/l/a", "/l/c"]),
        ("vllm", {"lora_modules": [{"name": "a", "path": "/l/a/", "base_model_name": "m"}]}, ["/l/a"]),
        ("vllm", {"default_mm_loras": {"audio": "/l/audio"}}, ["/l/audio"]),
        (
            "vllm",
            {"speculative_config": {"method": "eagle3", "model": "/d/eagle", "num_speculative_tokens": 3}},
            ["/d/eagle"],
        ),
        ("vllm", {"speculative_config": '{"model": "/d/eagle", "num_speculative_tokens": 3}'}, ["/d/eagle"]),
        ("vllm", {"ssl_certfile": "/tls/c.pem", "ssl_keyfile": "/tls/k.pem"}, ["/tls/c.pem", "/tls/k.pem"]),
        ("vllm", {"download_dir": "/cache"}, []),
        ("vllm", {"generation_config": "/srv/models/m/generation"}, []),
        (
            "sglang",
            {"speculative_draft_model_path": "/d/nextn", "chat_template": "/t/v3.jinja"},
            ["/t/v3.jinja", "/d/nextn"],
        ),
        ("sglang", {"speculative-draft-model": "/d/nextn"}, ["/d/nextn"]),
        ("sglang", {"chat_template": "chatml"}, []),
        (
            "sglang",
            {"lora_paths": ["/l/a", "b=/l/b", '{"lora_name": "c", "lora_path": "/l/c"}']},
            ["/l/a", "/l/b", "/l/c"],
        ),
        ("sglang", {"deepep_config": "/c/deepep.json"}, ["/c/deepep.json"]),
        ("sglang", {"deepep_config": '{"normal_dispatch": {}}'}, []),
        ("lmdeploy", {"adapters": ["a=/l/a"], "chat_template": "/t/t.json"}, ["/l/a", "/t/t.json"]),
    ],
)
def test_every_spelling(engine: str, arguments: dict[str, Any], expected: list[str]) -> None:
    assert sorted(one["path"] for one in launch(engine, arguments)["reads"]) == sorted(expected)


def test_a_finding_can_say_where_it_was_named() -> None:
    rendered = launch("vllm", {"chat_template": "/t/chat.jinja"}, env={"LMCACHE_CONFIG_FILE": "/c/lm.yaml"})
    assert rendered["reads"] == [
        {"path": "/t/chat.jinja", "where": "engine_args.chat_template"},
        {"path": "/c/lm.yaml", "where": "engine_env.LMCACHE_CONFIG_FILE"},
    ]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_the_server_reads_is_no_part_of_the_others(engine: str) -> None:
    arguments = {"chat_template": "/t/chat.jinja", "ssl_certfile": "/tls/c.pem"}
    arguments |= {"tokenizer": "/t/tok"} if engine == "vllm" else {"tokenizer_path": "/t/tok"}
    assert [one["path"] for one in launch(engine, arguments, **SECOND)["reads"]] == ["/t/tok"]


def test_a_container_gets_them_to_read_and_no_more() -> None:
    rendered = launch(
        "sglang",
        {"chat_template": "/etc/chat/v3.jinja", "speculative_draft_model_path": "/data2/v3-nextn"},
        **IN_DOCKER,
    )
    assert [one for one in rendered["findings"] if one["severity"] == "fail"] == []
    mounts = {mount["source"]: mount for mount in rendered["container"]["mounts"]}
    for path in ("/etc/chat/v3.jinja", "/data2/v3-nextn"):
        assert mounts[path] == {"source": path, "target": path, "read_only": True}


def test_what_a_mount_of_the_user_has_is_not_mounted_twice() -> None:
    mounts = [{"source": "/srv/extra", "target": "/data2", "read_only": True}]
    rendered = launch("sglang", {"speculative_draft_model_path": "/data2/v3-nextn"}, mounts=mounts, **IN_DOCKER)
    assert [mount["target"] for mount in rendered["container"]["mounts"] if "data2" in mount["target"]] == ["/data2"]


@pytest.mark.parametrize("path", ["/etc", "/root", "/var/lib/docker/x", "/"])
def test_a_folder_that_gives_away_the_node_is_refused_with_the_mounts_as_the_remedy(path: str) -> None:
    rendered = launch("vllm", {"tokenizer": path}, **IN_DOCKER)
    found = [one for one in rendered["findings"] if one["code"] == "folder-not-mounted"]
    assert [(one["severity"], one["where"]) for one in found] == [("fail", "engine_args.tokenizer")]
    assert "engine_mounts" in found[0]["remedy"]
    assert path not in {mount["source"] for mount in rendered["container"]["mounts"]}


def test_the_hash_does_not_change_where_nothing_is_named() -> None:
    plain = launch("vllm", {}, **IN_DOCKER)
    assert launch("vllm", {"tokenizer": "/t/tok"}, **IN_DOCKER)["spec_hash"] != plain["spec_hash"]
    assert "reads" not in str(plain["container"])


# options with such a name that name no path of the node: words, sizes, names, JSON without paths
LIKE_A_FILE = re.compile(
    r"((^|_)pth|path|(^|_)file|profile|template|plugin|certs|tokenizer|draft_model|config_path|^adapters|prompt_adapters|lora_modules)$|^lora_|_lora$|^kt_"
)
NO_PATH = {
    "max_prompt_adapters",
    *(
        "allowed_local_media_path",
        "root_path",
        "fastapi_root_path",
        "model_path",
        "export_metrics_to_file",
        "mamba_max_states_per_path",
    ),
    *(
        "enable_lora",
        "lora_backend",
        "lora_drain_wait_threshold",
        "lora_dtype",
        "lora_eviction_policy",
        "lora_extra_vocab_size",
    ),
    *(
        "lora_strict_loading",
        "lora_target_modules",
        "lora_use_virtual_experts",
        "max_loaded_lora",
        "trust_request_chat_template",
    ),
    *(
        "disable_dynamic_batch_tokenizer",
        "enable_dynamic_batch_tokenizer",
        "io_processor_plugin",
        "specialize_active_lora",
    ),
    *("kt_cpuinfer", "kt_max_deferred_experts_per_token", "kt_method", "kt_num_gpu_experts", "kt_threadpool_count"),
    *(
        "kt_amx_cpuinfer",
        "kt_amx_method",
        "kt_amx_num_gpu_experts",
        "kt_amx_parallel_stage",
        "kt_enable_dynamic_expert_update",
    ),
    *(
        "kt_expert_placement_strategy",
        "kt_gpu_experts_ratio",
        "kt_gpu_prefill_token_threshold",
        "kt_numa_nodes",
        "kt_amx_threadpool_count",
    ),
}


@pytest.mark.parametrize("engine", sorted(named_files.READ))
def test_every_option_with_a_name_like_a_files_was_looked_at(engine: str) -> None:
    known = {run.option.key for run in read_catalog(engine).runs if run.option.kind not in ("flag", "switch")}
    listed = {*named_files.READ[engine], *named_files.WRITTEN[engine]}
    assert {key for key in known if LIKE_A_FILE.search(key)} - listed - NO_PATH == set()
    assert listed - known == set(), "no version has it"
