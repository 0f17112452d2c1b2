# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each engine adds: its rules behind the parser, Ray's files and environment, which rank gets what."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import ray_gate
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render, spec_hash

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
OVER_RAY: dict[str, Any] = {"executor": "ray", "rank_addresses": ["192.0.2.10", "192.0.2.11"]}


def launch(engine: str, version: str, changes: dict[str, Any]) -> dict[str, Any]:
    return render(TWO_NODES | {"engine": engine, "engine_version": version} | changes, read_catalog(engine))


def failed(rendered: dict[str, Any]) -> dict[str, str]:
    return {found["code"]: found["where"] for found in rendered["findings"] if found["severity"] == "fail"}


def args(**options: Any) -> dict[str, Any]:
    return {"engine_args": options}


PIPELINE = {"tensor_parallel_size": 8, "pipeline_parallel_size": 2}
DATA_PARALLEL = {"tensor_parallel_size": 8, "data_parallel_size": 2}
ALONE = {"nnodes": 1, "tensor_parallel_size": 4}
COPIES = {"tensor_parallel_size": 1, "data_parallel_size": 16}
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
        DATA_PARALLEL | RANK_1 | {"behind_router": False} | args(data_parallel_hybrid_lb=True),
        "hybrid-balancing-without-router",
        "engine_args.data_parallel_hybrid_lb",
    ),
    ("vllm", "0.19.1", PIPELINE | {"executor": "ray"}, "ray-with-pipeline", "engine_pipeline_parallel_size"),
    ("vllm", "0.11.2", {"executor": "ray"}, "no-rank-addresses", "rank_addresses"),
    ("lmdeploy", "0.10.0", {}, "no-native-multi-node", "engine_executor"),
    ("lmdeploy", "0.10.0", {"executor": "ray"}, "no-rank-addresses", "rank_addresses"),
    ("lmdeploy", "0.10.0", {"tensor_parallel_size": 6}, "size-not-power-of-two", "engine_tensor_parallel_size"),
    ("lmdeploy", "0.10.0", PIPELINE, "option-unknown", "engine_pipeline_parallel_size"),
    ("lmdeploy", "0.10.2", OVER_RAY | COPIES | args(ep=16), "server-for-every-copy", "engine_data_parallel_size"),
    ("lmdeploy", "0.10.2", ALONE | {"data_parallel_size": 2}, "server-for-every-copy", "engine_data_parallel_size"),
    ("sglang", "0.5.23", DATA_PARALLEL, "replicas-over-nodes", "engine_data_parallel_size"),
    (
        "sglang",
        "0.5.23",
        ALONE | {"data_parallel_size": 2} | args(attn_dp_size=4),
        "two-kinds-of-data-parallel",
        "engine_data_parallel_size",
    ),
    ("sglang", "0.5.23", args(attn_dp_size=3), "dp-attention-sizes", "engine_data_parallel_size"),
    ("sglang", "0.5.23", args(attn_cp_size=8, attn_dp_size=4), "attention-context-sizes", "engine_args.attn_cp_size"),
    ("sglang", "0.5.12", args(ep=3), "expert-parallel-sizes", "engine_args.ep_size"),
    ("sglang", "0.5.12", args(ep=8, moe_dp_size=4), "expert-parallel-sizes", "engine_args.ep_size"),
    ("sglang", "0.5.12", args(moe_dense_tp_size=4), "dense-layers-sizes", "engine_args.moe_dense_tp_size"),
    ("sglang", "0.5.23", args(dcp_size=3), "decode-context-sizes-sglang", "engine_args.dcp_size"),
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
    ("vllm", "0.20.0", PIPELINE | OVER_RAY),
    ("vllm", "0.10.2", OVER_RAY),
    ("vllm", "0.10.2", OVER_RAY | RANK_1),
    ("vllm", "0.10.2", {"executor": "ray", "nnodes": 1, "tensor_parallel_size": 8}),
    ("lmdeploy", "0.10.0", OVER_RAY),
    ("lmdeploy", "0.10.2", OVER_RAY | {"tensor_parallel_size": 1} | args(ep=16)),  # what is written instead of copies
    ("lmdeploy", "0.10.2", {"nnodes": 1, "tensor_parallel_size": 8}),
    ("lmdeploy", "0.18.0", ALONE | {"data_parallel_size": 2}),
    (
        "sglang",
        "0.5.23",
        {"nnodes": 4, "tensor_parallel_size": 32, "data_parallel_size": 4}
        | args(enable_dp_attention=True, moe_a2a_backend="deepep", ep_size=32),
    ),
    ("sglang", "0.5.23", args(attn_dp_size=16, moe_a2a_backend="deepep")),
    (
        "sglang",
        "0.5.12",
        {"data_parallel_size": 16}
        | args(**{"enable-dp-attention": True, "moe-dense-tp-size": 1, "ep_num_redundant_experts": 32, "--ep": 16}),
    ),
    ("sglang", "0.5.23", args(dcp_size=8)),
    ("vllm", "0.20.2", {"tensor_parallel_size": 1, "data_parallel_size": 16} | args(enable_expert_parallel=True)),
    ("lmdeploy", "0.10.0", OVER_RAY | RANK_1),
    ("lmdeploy", "0.10.0", {"nnodes": 1, "tensor_parallel_size": 8}),
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
    assert rendered["argv"][-2:] == ["--config", "/run/credentials/fullrank-rank@engine.service/secret.yaml"]
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
    output = json.loads(subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout)
    assert output[:3] == ["__main__", ["--port", "1", "--api-key=sk-seen"], False]
    assert "sk-seen" not in output[3]


def test_lmdeploy_is_given_it_as_the_module_that_its_program_runs() -> None:
    options = {"nnodes": 1, "tensor_parallel_size": 8, "venv": "/opt/lmdeploy"}
    words = launch("lmdeploy", "0.10.0", options)["argv"]
    assert (words[0], words[1], words[3:6]) == ("/opt/lmdeploy/bin/python", "-c", ["lmdeploy", "serve", "api_server"])
    assert '"--api-keys="' in words[2] and "--api-keys" not in words[3:]
    box = launch("lmdeploy", "0.10.0", options | {"runtime": "docker", "image": "engine:1"})["argv"]
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
    program = "import json, logging.config, sys; logging.config.dictConfig(json.loads(sys.argv[1]))\n" + "\n".join(
        f"logging.getLogger('sglang.srt.{module}').info('{word}')"
        for module, word in (("entrypoints.engine", "the key"), ("managers.scheduler", "loading"))
    )
    done = subprocess.run([sys.executable, "-c", program, file["content"]], capture_output=True, text=True, check=True)
    assert "loading" in done.stderr and "the key" not in done.stderr
    for without in ({"api_key": None}, RANK_1):
        assert launch("sglang", "0.5.5", without)["files"] == []
    own = launch("sglang", "0.5.5", {"env": {"SGLANG_LOGGING_CONFIG_PATH": "/etc/mine.json"}})
    assert (own["files"], [f["code"] for f in own["findings"]]) == ([], ["key-in-log"])
    assert launch("sglang", "0.4.4", {})["files"] == []


def test_a_bare_ray_of_the_head_and_of_the_others() -> None:
    head, other = launch("ray", "2.49.2", {"gpus": [0, 1]}), launch("ray", "2.49.2", RANK_1)
    words = ["ray", "start", "--head", "--port", "6379", "--include-dashboard", "false", "--no-monitor"]
    assert head["argv"] == [*words, *NODE, "--num-gpus", "2", "--disable-usage-stats", "--block"]
    assert other["argv"][2:6] == ["--address", "192.0.2.10:6379", "--node-ip-address", "192.0.2.11"]
    assert other["env"]["VLLM_HOST_IP"] == "192.0.2.11"
    assert head["secret_file"] == {}


NODE = ["--node-ip-address", "192.0.2.10"]


def test_over_ray_the_head_starts_ray_waits_and_becomes_the_engine() -> None:
    rendered = launch("vllm", "0.20.0", OVER_RAY | {"venv": "/opt/vllm"})
    shell, option, script, name, *engine = rendered["argv"]
    assert (shell, option, name) == ("/bin/sh", "-c", "sh")
    node, gate, then = (shlex.split(part) for part in script.split(" && "))
    # the key is the engine's alone
    assert node[:6] == ["env", "-u", "VLLM_API_KEY", "/opt/vllm/bin/ray", "start", "--head"]
    assert "--block" not in node
    assert gate[3:] == ["/opt/vllm/bin/python", "/etc/fullrank/engine.ray.py", "16", "6380", "192.0.2.10", "192.0.2.11"]
    assert then == ["exec", "$@"]
    assert engine == rendered["engine_argv"]
    assert engine[:2] == ["/opt/vllm/bin/vllm", "serve"]
    assert rendered["env"]["RAY_ADDRESS"] == "192.0.2.10:6379"
    # where the gate listens once the head is in its cluster
    assert rendered["rendezvous_port"] == 6380
    assert rendered["files"][-1] == {"path": gate[4], "content": inspect.getsource(ray_gate)}


def test_over_ray_the_other_ranks_are_nodes_of_it_in_the_foreground() -> None:
    for engine, version in (("vllm", "0.20.0"), ("lmdeploy", "0.10.0")):
        rendered = launch(engine, version, OVER_RAY | RANK_1 | {"gpus": [0, 1], "env": {"NCCL_IB_TC": "106"}})
        words = ["ray", "start", "--address", "192.0.2.10:6379", "--node-ip-address", "192.0.2.11"]
        assert rendered["argv"] == [*words, "--num-gpus", "2", "--disable-usage-stats", "--block"]
        assert (rendered["secret_file"], rendered["files"]) == ({}, [])
        # its processes take theirs from here
        assert {"GLOO_SOCKET_IFNAME", "NCCL_IB_TC", "CUDA_VISIBLE_DEVICES"} <= set(rendered["env"])
    # what is wrong with the engine's options is reported of every rank
    assert "option-unknown" in failed(launch("vllm", "0.20.0", OVER_RAY | RANK_1 | args(max_model_lenn=1)))


def test_one_node_over_ray_is_a_cluster_for_itself() -> None:
    alone = {"executor": "ray", "nnodes": 1, "rank_address": None, "head_address": None, "tensor_parallel_size": 8}
    rendered = launch("vllm", "0.20.0", alone)
    assert "--node-ip-address 127.0.0.1" in rendered["argv"][2]
    assert "ray.py 8 6380 127.0.0.1 &&" in rendered["argv"][2]
    assert rendered["env"]["RAY_ADDRESS"] == "127.0.0.1:6379"


def test_ray_copies_nothing_that_a_rank_has_of_its_own() -> None:
    rendered = launch("vllm", "0.20.0", OVER_RAY | {"env": {"NCCL_IB_TC": "106"}})
    assert rendered["env"]["VLLM_USE_RAY_V2_EXECUTOR_BACKEND"] == "1"
    file = rendered["files"][0]
    assert file["path"] == f"{rendered['env']['VLLM_CONFIG_ROOT']}/ray_non_carry_over_env_vars.json"
    passed = {"HF_TOKEN", "VLLM_API_KEY", "VLLM_HOST_IP", "NCCL_IB_TC", "NCCL_SOCKET_IFNAME", "HF_HUB_OFFLINE"}
    assert passed <= set(json.loads(file["content"]))


def test_over_ray_a_rank_is_one_container() -> None:
    box = OVER_RAY | {"runtime": "podman", "image": "engine:1"}
    head, other = (launch("vllm", "0.10.2", box | rank)["container"] for rank in ({}, RANK_1))
    assert (head["name"], head["entrypoint"]) == ("fullrank-rank-engine", "/bin/sh")
    inner = head["command"][3:]
    assert inner[:2] == ["/bin/sh", "-c"] and ". /etc/fullrank/engine.secret.env" in inner[2]
    assert (other["name"], other["entrypoint"]) == ("fullrank-rank-engine", "ray")
    mounted = {mount["source"] for mount in head["mounts"]}
    assert {"/etc/fullrank/engine.ray.py", "/etc/fullrank/engine.vllm/ray_non_carry_over_env_vars.json"} <= mounted


def test_only_who_has_the_token_of_the_group_is_heard_by_ray() -> None:
    file = "/etc/fullrank/engine.group.token"
    for rank in ({}, RANK_1):
        process = launch("vllm", "0.10.2", OVER_RAY | rank)
        assert (process["group_token"], process["load_credential"]) == (file, f"group.token:{file}")
        assert process["env"]["RAY_AUTH_MODE"] == "token"
        assert process["env"]["RAY_AUTH_TOKEN_PATH"] == "/run/credentials/fullrank-rank@engine.service/group.token"
        box = launch("vllm", "0.10.2", OVER_RAY | rank | {"runtime": "docker", "image": "engine:1"})
        assert (box["group_token"], box["load_credential"]) == (file, "")
        assert box["container"]["env"]["RAY_AUTH_TOKEN_PATH"] == file
        assert {"source": file, "target": file, "read_only": True} in box["container"]["mounts"]
    assert launch("vllm", "0.11.2", {})["group_token"] == ""


def test_every_ray_of_the_catalog_has_the_options_that_a_node_is_started_with() -> None:
    catalog = read_catalog("ray")
    for version in catalog.versions:
        for rank in ({"gpus": [0]}, RANK_1):
            assert failed(launch("ray", version, rank)) == {}


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


def test_a_launch_under_its_former_names_is_the_same_launch() -> None:
    """So that an engine which was started by an earlier version is not restarted for its name."""

    def spec(container: str, unit: str) -> dict[str, Any]:
        return {"argv": ["docker", "run", "--name", container], "env": {"T": f"/run/credentials/{unit}/group.token"}}

    text = json.dumps(spec("fullrank-tiny", "fullrank-tiny.service"), sort_keys=True, separators=(",", ":"))
    now = spec_hash(spec("fullrank-rank-tiny", "fullrank-rank@tiny.service"), "key")
    assert now == hmac.new(b"key", text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("names", ["tiny gpt-4", ["tiny", "gpt-4"]])
def test_the_first_name_is_the_name_and_the_others_are_aliases(names: Any) -> None:
    served = {"served_model_name": names}
    for rank in ({}, RANK_1):
        words = launch("vllm", "0.20.2", served | rank)["engine_argv"]
        at = words.index("--served-model-name")
        assert words[at : at + 3] == ["--served-model-name", "tiny", "gpt-4"]
    listed = launch("sglang", "0.5.12", served)
    assert listed["engine_argv"][listed["engine_argv"].index("--served-model-name") + 1] == "tiny"
    assert "gpt-4" not in listed["engine_argv"] and failed(listed) == {}
    assert "aliases-not-listed" in {one["code"] for one in listed["findings"]}
    one = {"nnodes": 1, "tensor_parallel_size": 8}
    assert failed(launch("lmdeploy", "0.18.0", served | one)) == {"aliases": "engine_served_model_name"}
