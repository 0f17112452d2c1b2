"""What each engine adds: its rules behind the parser, Ray's files and environment, which rank gets what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog_files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import render

TWO_NODES: dict[str, Any] = {
    "nnodes": 2,
    "head_address": "192.0.2.10",
    "rank_address": "192.0.2.10",
    "interface": "eth0",
    "model": "/srv/models/tiny",
    "served_model_name": "tiny",
    "tensor_parallel_size": 16,
    "gpus_per_node": 8,
    "api_key": "sk-0123456789",
}
RANK_1 = {"rank": 1, "rank_address": "192.0.2.11"}


def launch(engine: str, version: str, changes: dict[str, Any]) -> dict[str, Any]:
    return render(TWO_NODES | {"engine": engine, "engine_version": version} | changes, read_catalog(engine))


def failed(rendered: dict[str, Any]) -> dict[str, str]:
    return {found["code"]: found["where"] for found in rendered["findings"] if found["severity"] == "fail"}


def args(**given: Any) -> dict[str, Any]:
    return {"engine_args": given}


PIPELINE = {"tensor_parallel_size": 8, "pipeline_parallel_size": 2}
DATA_PARALLEL = {"tensor_parallel_size": 8, "data_parallel_size": 2}
REFUSED = [
    ("sglang", "0.5.5", DATA_PARALLEL, "replicas-over-nodes", "engine_data_parallel_size"),
    (
        "sglang",
        "0.5.5",
        {"data_parallel_size": 3} | args(enable_dp_attention=True),
        "dp-attention-sizes",
        "engine_data_parallel_size",
    ),
    (
        "sglang",
        "0.5.5",
        args(chunked_prefill_size=4100, page_size=64),
        "chunk-not-multiple-of-page",
        "engine_args.chunked_prefill_size",
    ),
    (
        "sglang",
        "0.5.5",
        args(speculative_algorithm="EAGLE", enable_mixed_chunk=True),
        "speculation-with-mixed-chunk",
        "engine_args.enable_mixed_chunk",
    ),
    (
        "sglang",
        "0.5.2",
        PIPELINE | args(speculative_algorithm="EAGLE"),
        "pipeline-with-speculation",
        "engine_args.speculative_algorithm",
    ),
    (
        "sglang",
        "0.5.2",
        PIPELINE | args(enable_mixed_chunk=True),
        "pipeline-with-mixed-chunk",
        "engine_args.enable_mixed_chunk",
    ),
    ("sglang", "0.4.3", args(lora_paths=["a=/a"]), "lora-with-cuda-graph", "engine_args.lora_paths"),
    (
        "sglang",
        "0.4.6",
        args(lora_paths=["a=/a"], disable_cuda_graph=True),
        "lora-with-radix-cache",
        "engine_args.lora_paths",
    ),
    (
        "sglang",
        "0.5.23",
        args(enable_torch_compile=True, disable_cuda_graph_padding=True),
        "compile-without-padding",
        "engine_args.disable_cuda_graph_padding",
    ),
    ("sglang", "0.5.23", {"served_model_name": "a:b"}, "colon-in-served-name", "engine_served_model_name"),
    (
        "sglang",
        "0.5.5",
        args(enable_priority_scheduling=True, schedule_policy="lpm"),
        "priority-policy",
        "engine_args.schedule_policy",
    ),
    (
        "sglang",
        "0.5.5",
        {"nnodes": 1, "tensor_parallel_size": 4} | args(base_gpu_id=5),
        "base-gpu-beyond-the-last",
        "engine_args.base_gpu_id",
    ),
    ("vllm", "0.10.2", {}, "no-native-multi-node", "engine_version"),
    ("vllm", "0.11.2", args(max_num_batched_tokens=8, max_num_seqs=16), "batch-smaller-than-sequences", "engine_args"),
    (
        "vllm",
        "0.11.2",
        args(enable_chunked_prefill=False, max_num_batched_tokens=1024, max_model_len=4096),
        "batch-smaller-than-context",
        "engine_args.max_num_batched_tokens",
    ),
    ("vllm", "0.11.2", args(gpu_memory_utilization=90), "memory-fraction", "engine_args.gpu_memory_utilization"),
    (
        "vllm",
        "0.11.2",
        DATA_PARALLEL | args(data_parallel_backend="ray"),
        "ray-data-parallel-over-nodes",
        "engine_args.data_parallel_backend",
    ),
    (
        "vllm",
        "0.11.2",
        DATA_PARALLEL | args(data_parallel_hybrid_lb=True),
        "hybrid-balancing-headless",
        "engine_args.data_parallel_hybrid_lb",
    ),
    ("vllm", "0.19.1", PIPELINE | {"executor": "ray"}, "ray-with-pipeline", "engine_pipeline_parallel_size"),
    ("vllm", "0.11.2", RANK_1 | {"executor": "ray"}, "server-on-the-head-only", "engine_rank"),
    ("lmdeploy", "0.10.0", RANK_1, "server-on-the-head-only", "engine_rank"),
    ("lmdeploy", "0.10.0", {"tensor_parallel_size": 6}, "size-not-power-of-two", "engine_tensor_parallel_size"),
    ("lmdeploy", "0.10.0", PIPELINE, "option-unknown", "engine_pipeline_parallel_size"),
    ("smg", "1.13.0", {}, "router-on-one-node", "engine_nnodes"),
]


@pytest.mark.parametrize(("engine", "version", "changes", "code", "where"), REFUSED, ids=[case[3] for case in REFUSED])
def test_refused(engine: str, version: str, changes: dict[str, Any], code: str, where: str) -> None:
    found = failed(launch(engine, version, changes))
    assert code in found, found
    assert found[code].startswith(where)


ACCEPTED = [
    ("sglang", "0.5.5", {}),
    ("sglang", "0.5.5", {"data_parallel_size": 2} | args(**{"enable-dp-attention": True})),
    ("sglang", "0.5.2", PIPELINE),
    ("sglang", "0.4.3", args(lora_paths=["a=/a"], disable_cuda_graph=True, disable_radix_cache=True)),
    ("sglang", "0.5.5", args(lora_paths=["a=/a"])),
    ("sglang", "0.4.3", {"served_model_name": "a:b"}),
    ("sglang", "0.5.5", {"nnodes": 1, "tensor_parallel_size": 4} | args(base_gpu_id=4)),
    ("vllm", "0.11.2", PIPELINE),
    ("vllm", "0.11.2", DATA_PARALLEL),
    ("vllm", "0.11.2", args(max_num_batched_tokens=1024, max_model_len=4096)),
    ("vllm", "0.20.0", PIPELINE | {"executor": "ray"}),
    ("vllm", "0.10.2", {"executor": "ray"}),
    ("lmdeploy", "0.10.0", {}),
    ("ray", "2.49.2", {}),
    ("ray", "2.49.2", RANK_1),
]


@pytest.mark.parametrize(("engine", "version", "changes"), ACCEPTED)
def test_accepted(engine: str, version: str, changes: dict[str, Any]) -> None:
    assert failed(launch(engine, version, changes)) == {}


def test_only_the_head_of_vllm_serves_and_has_the_key() -> None:
    head = launch("vllm", "0.11.2", args(api_server_count=4))
    other = launch("vllm", "0.11.2", RANK_1 | args(api_server_count=4))
    assert "--headless" not in head["argv"]
    assert "--api-server-count" in head["argv"]
    assert head["environment_file"] == head["secret_file"]["path"] == "/etc/fullrank/engine.secret.env"
    assert head["secret_file"]["format"] % "sk" == "VLLM_API_KEY=sk\n"
    assert "--headless" in other["argv"]
    assert not {"--port", "--host", "--api-server-count"} & set(other["argv"])
    assert (other["environment_file"], other["secret_file"]) == ("", {})


def test_one_node_of_vllm_has_nothing_of_several() -> None:
    rendered = launch("vllm", "0.11.2", {"nnodes": 1, "tensor_parallel_size": 8})
    assert not {"--nnodes", "--node-rank", "--master-addr", "--headless"} & set(rendered["argv"])
    assert not {"VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"} & set(rendered["env"])


def test_sglang_takes_the_key_from_a_config_file_where_it_reads_one() -> None:
    rendered = launch("sglang", "0.5.5", {})
    assert rendered["secret_file"]["format"] % "sk" == 'api-key: "sk"\n'
    assert rendered["argv"][-2:] == ["--config", "/run/credentials/fullrank-engine.service/secret.yaml"]
    assert rendered["load_credential"] == "secret.yaml:/etc/fullrank/engine.secret.yaml"
    assert rendered["environment_file"] == ""
    assert rendered["lines"]["process"].endswith("--config /etc/fullrank/engine.secret.yaml")


def test_before_that_it_is_given_to_the_module_and_not_to_the_process(tmp_path: Path) -> None:
    rendered = launch("sglang", "0.4.3", {})
    python, dash_c, script, module, *rest = rendered["argv"]
    assert (python, dash_c, module) == ("python3", "-c", "sglang.launch_server")
    assert "--api-key" not in rest
    assert (
        rendered["lines"]["process"]
        .split(" /bin/sh -c ")[1]
        .startswith("'set -a; . /etc/fullrank/engine.secret.env; exec \"$@\"' sh python3 -c")
    )
    assert rendered["environment_file"] == "/etc/fullrank/engine.secret.env"
    assert rendered["secret_file"]["format"] % "sk" == "FULLRANK_API_KEY=sk\n"
    (tmp_path / "spy.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps([__name__, sys.argv[1:], 'FULLRANK_API_KEY' in os.environ, open('/proc/self/cmdline').read()]))\n"
    )
    words = [sys.executable, dash_c, script, "spy", "--port", "1"]
    env = {"FULLRANK_API_KEY": "sk-seen", "PYTHONPATH": str(tmp_path)}
    said = json.loads(subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout)
    assert said[:3] == ["__main__", ["--port", "1", "--api-key=sk-seen"], False]
    assert "sk-seen" not in said[3]


def test_lmdeploy_is_given_it_as_the_module_that_its_program_runs() -> None:
    given = {"nnodes": 1, "tensor_parallel_size": 8, "venv": "/opt/lmdeploy"}
    words = launch("lmdeploy", "0.10.0", given)["argv"]
    assert (words[0], words[1], words[3:6]) == ("/opt/lmdeploy/bin/python", "-c", ["lmdeploy", "serve", "api_server"])
    assert '"--api-keys="' in words[2] and "--api-keys" not in words[3:]
    box = launch("lmdeploy", "0.10.0", given | {"runtime": "docker", "image": "engine:1"})["argv"]
    assert box[box.index("sh") :][:2] == ["sh", "python3"]


def test_sglang_is_kept_from_logging_its_arguments_where_the_key_is_among_them() -> None:
    rendered = launch(
        "sglang", "0.5.5", {"engine_args": {"log-level": "debug"}, "runtime": "docker", "image": "engine:1"}
    )
    path = "/etc/fullrank/engine.logging.json"
    assert rendered["env"]["SGLANG_LOGGING_CONFIG_PATH"] == path
    (file,) = rendered["files"]
    config = json.loads(file["content"])
    assert (file["path"], config["root"]["level"]) == (path, "DEBUG")
    assert config["loggers"]["sglang.srt.entrypoints.engine"] == {"level": "WARNING"}
    assert {"source": path, "target": path, "read_only": True} in rendered["container"]["mounts"]
    says = "import json, logging.config, sys; logging.config.dictConfig(json.loads(sys.argv[1]))\n" + "\n".join(
        f"logging.getLogger('sglang.srt.{module}').info('{word}')"
        for module, word in (("entrypoints.engine", "the key"), ("managers.scheduler", "loading"))
    )
    done = subprocess.run([sys.executable, "-c", says, file["content"]], capture_output=True, text=True, check=True)
    assert "loading" in done.stderr and "the key" not in done.stderr
    for without in ({"api_key": None}, RANK_1):
        assert launch("sglang", "0.5.5", without)["files"] == []
    own = launch("sglang", "0.5.5", {"env": {"SGLANG_LOGGING_CONFIG_PATH": "/etc/mine.json"}})
    assert (own["files"], [f["code"] for f in own["findings"]]) == ([], ["key-in-log"])
    assert launch("sglang", "0.4.4", {})["files"] == []


def test_ray_of_the_head_and_of_the_others() -> None:
    head, other = launch("ray", "2.49.2", {"gpus": [0, 1]}), launch("ray", "2.49.2", RANK_1)
    words = ["ray", "start", "--head", "--port", "6379", "--node-ip-address", "192.0.2.10", "--num-gpus", "2"]
    assert head["argv"][: len(words)] == words
    assert other["argv"][2:6] == ["--address", "192.0.2.10:6379", "--node-ip-address", "192.0.2.11"]
    assert {"--block"} < set(head["argv"]) & set(other["argv"])
    assert other["env"]["VLLM_HOST_IP"] == "192.0.2.11"
    assert head["secret_file"] == {}


def test_vllm_over_ray_finds_the_group_and_keeps_per_host_variables_at_home() -> None:
    rendered = launch("vllm", "0.20.0", {"executor": "ray", "env": {"NCCL_IB_TC": "106"}})
    assert rendered["env"]["RAY_ADDRESS"] == "192.0.2.10:6379"
    assert rendered["env"]["VLLM_USE_RAY_V2_EXECUTOR_BACKEND"] == "1"
    (file,) = rendered["files"]
    assert file["path"] == f"{rendered['env']['VLLM_CONFIG_ROOT']}/ray_non_carry_over_env_vars.json"
    kept = {"VLLM_API_KEY", "VLLM_HOST_IP", "NCCL_IB_HCA", "NCCL_IB_TC", "NCCL_SOCKET_IFNAME"}
    assert kept <= set(json.loads(file["content"]))


def test_ray_and_the_engine_over_it_share_sockets_in_containers() -> None:
    container = {"runtime": "podman", "image": "engine:1"}
    node = launch("ray", "2.49.2", container)["container"]
    server = launch("vllm", "0.10.2", container | {"executor": "ray"})["container"]
    volume = {"source": "fullrank-engine-ray", "target": "/tmp/ray", "read_only": False}
    assert volume in node["mounts"]
    assert volume in server["mounts"]
    assert (node["name"], server["name"]) == ("fullrank-engine-ray", "fullrank-engine")


def test_gpus_of_a_container_are_devices_and_of_a_process_indices() -> None:
    gpus = {"nnodes": 1, "tensor_parallel_size": 2, "gpus": [2, 5], "rdma": True, "image": "engine:1"}
    process, docker = (launch("sglang", "0.5.5", gpus | {"runtime": runtime}) for runtime in ("process", "docker"))
    assert process["env"]["CUDA_VISIBLE_DEVICES"] == "2,5"
    assert "CUDA_VISIBLE_DEVICES" not in docker["env"]
    assert docker["container"]["devices"] == ["nvidia.com/gpu=2", "nvidia.com/gpu=5", "/dev/infiniband"]
    assert process["container"] == {}


def test_the_users_environment_wins_and_null_leaves_out() -> None:
    rendered = launch("sglang", "0.5.5", {"env": {"NCCL_SOCKET_IFNAME": "=ib0", "HF_HUB_OFFLINE": None}})
    assert rendered["env"]["NCCL_SOCKET_IFNAME"] == "=ib0"
    assert rendered["origins"]["env.NCCL_SOCKET_IFNAME"] == "engine_env"
    assert "HF_HUB_OFFLINE" not in rendered["env"]


def test_an_ipv6_head_is_written_in_brackets() -> None:
    rendered = launch("sglang", "0.5.5", {"head_address": "2001:db8::1", "rank_address": "2001:db8::1"})
    assert rendered["argv"][rendered["argv"].index("--dist-init-addr") + 1] == "[2001:db8::1]:25000"


def test_a_version_newer_than_the_catalog_uses_the_newest_with_a_warning() -> None:
    rendered = launch("sglang", "99.0", {})
    assert failed(rendered) == {}
    assert any(found["code"] == "engine-version-newer" for found in rendered["findings"])


def test_the_environment_of_a_virtual_environment() -> None:
    rendered = launch("vllm", "0.11.2", {"venv": "/opt/engine"})
    assert rendered["argv"][:2] == ["/opt/engine/bin/vllm", "serve"]
    assert rendered["env"]["PATH"].startswith("/opt/engine/bin:")
    assert launch("sglang", "0.5.5", {"venv": "/opt/engine"})["argv"][0] == "/opt/engine/bin/python"
