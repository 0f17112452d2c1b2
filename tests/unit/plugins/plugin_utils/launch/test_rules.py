# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that only show after the start: each case names what is given and which finding it must give."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rules
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import sizes_as_options
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

SOUND: dict[str, Any] = {
    "engine": "sglang",
    "engine_version": "0.5.5",
    "rank": 1,
    "nnodes": 2,
    "head_address": "192.0.2.10",
    "rank_address": "192.0.2.11",
    "interface": "eth0",
    "model": "/srv/models/tiny",
    "served_model_name": "tiny",
    "tensor_parallel_size": 16,
    "gpus_per_node": 8,
    "api_key": "sk-0123456789",
}
HEAD = {"rank": 0, "rank_address": "192.0.2.10"}
ALONE = {"rank": 0, "nnodes": 1, "tensor_parallel_size": 8}


def codes(changes: dict[str, Any], secret: Secret | None = None, values: Any = None) -> dict[str, str]:
    """code → where, of all findings."""
    request = Request.from_options(SOUND | changes)
    call = Call(("engine",), {}, {}, secret=secret, rendezvous_port=request.rendezvous_port or 25000)
    return {found["code"]: found["where"] for found in rules.check(request, call, values or {}, sizes(request, values))}


def sizes(request: Request, values: Any = None) -> Parallel:
    """The parallel sizes of a request beside options that are resolved already."""
    first_class = sizes_as_options(request.engine, request.sizes)
    return parallel(request.engine, request.engine_version, first_class | (values or {}), request.nnodes)


def test_a_sound_launch_has_no_finding() -> None:
    assert codes({}) == {}
    assert codes({"gpus": [0, 1, 2, 3, 4, 5, 6, 7]}) == {}
    assert codes({"mounts": [{"source": "/a", "target": "/c"}, {"source": "/a", "target": "/c/d"}]}) == {}
    assert codes({"engine_args": {"chat_template": "two\nlines, \u00e4 and \U0001f600"}}) == {}


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"nnodes": 0}, "no-ranks", "engine_nnodes"),
    ({"rank": 2}, "rank-out-of-range", "engine_rank"),
    ({"rank": -1}, "rank-out-of-range", "engine_rank"),
    ({"head_address": None}, "no-head-address", "head_address"),
    ({"rank_address": None}, "no-rank-address", "rank_address"),
    ({"interface": None}, "no-interface", "interface"),
    ({"rank_address": "192.0.2.10"}, "own-address-as-rendezvous", "head_address"),
    ({"rank": 0}, "head-address-not-of-rank-0", "head_address"),
    ({"head_address": "127.0.0.1"}, "loopback-rendezvous", "head_address"),
    ({"head_address": "localhost"}, "loopback-rendezvous", "head_address"),
    ({"tensor_parallel_size": 15}, "sizes-against-nodes", "engine_tensor_parallel_size"),
    ({"tensor_parallel_size": 32}, "sizes-against-gpus", "engine_tensor_parallel_size"),
    ({"tensor_parallel_size": 8, "pipeline_parallel_size": 4}, "sizes-against-gpus", "engine_tensor_parallel_size"),
    ({"tensor_parallel_size": 8}, "idle-gpus", "engine_tensor_parallel_size"),
    ({"tensor_parallel_size": 0}, "size-too-small", "engine_tensor_parallel_size"),
    ({"pipeline_parallel_size": -1}, "size-too-small", "engine_pipeline_parallel_size"),
    ({"engine": "vllm", "tensor_parallel_size": 4, "data_parallel_size": 3}, "replica-against-nodes", "engine_tensor"),
    ({"engine": "vllm", "executor": "ray", "tensor_parallel_size": 17}, "sizes-against-gpus", "engine_tensor"),
    (ALONE | {"gpus": [5, 6, 7, 8]}, "gpu-does-not-exist", "engine_gpus"),
    (ALONE | {"gpus": [-1, 0]}, "gpu-does-not-exist", "engine_gpus"),
    (ALONE | {"gpus": [1, 1]}, "gpu-twice", "engine_gpus"),
    (ALONE | {"gpus": []}, "no-gpus", "engine_gpus"),
    (ALONE | {"gpus": [0, 1]}, "sizes-against-gpus", "engine_tensor_parallel_size"),
    (HEAD | {"host": "127.0.0.1"}, "loopback-endpoint", "engine_host"),
    (HEAD | {"api_key": None}, "no-api-key", "engine_api_key"),
    (HEAD | {"port": 25000}, "port-twice", "engine_rendezvous_port"),
    ({"port": 70000}, "port-out-of-range", "engine_port"),
    ({"model": None}, "no-model", "engine_model"),
    ({"model": "~/models/tiny"}, "tilde", "engine_model"),
    ({"served_model_name": None}, "no-served-model-name", "engine_served_model_name"),
    ({"runtime": "docker"}, "no-image", "engine_image"),
    ({"image": "<registry.io>/sglang:1"}, "image-unreadable", "engine_image"),
    ({"image": "lmsysorg/sglang:latest"}, "floating-image", "engine_image"),
    ({"image": "registry.example:5000/sglang"}, "floating-image", "engine_image"),
    ({"deployment": "deep seek"}, "deployment-name", "engine_deployment"),
    ({"env": {"NCCL_DEBUG": False}}, "env-not-text", "engine_env.NCCL_DEBUG"),
    ({"env": {"A": "two\nlines"}}, "env-not-text", "engine_env.A"),
    ({"env": {"A-B": "1"}}, "env-name", "engine_env.A-B"),
    (HEAD | {"secret_file": "key.env"}, "secret-file", "engine_secret_file"),
    ({"env": {"HF_TOKEN": "x"}}, "secret-in-env", "engine_env.HF_TOKEN"),
    (
        {"mounts": [{"source": "/data"}, {"source": "/other", "target": "/data/"}]},
        "mount-target-twice",
        "engine_mounts",
    ),
    ({"mounts": [{"source": "/data", "target": "/"}]}, "mount-at-root", "engine_mounts"),
    ({"mounts": [{"source": "/data", "target": "/a/.."}]}, "mount-at-root", "engine_mounts"),
    ({"engine_args": {"chat_template": "a\0b"}}, "no-argument", "engine_args.chat_template"),
    ({"engine_args": {"hf_overrides": {"a": [{"b\0": 1}]}}}, "no-argument", "engine_args.hf_overrides"),
    ({"engine_args": {"chat_template": "half \ud83d"}}, "no-argument", "engine_args.chat_template"),
    ({"engine_args": {"a\0": 1}}, "no-argument", "engine_args.a?"),
]


@pytest.mark.parametrize(("changes", "code", "where"), CASES, ids=[f"{c}-{n}" for n, (_, c, _) in enumerate(CASES)])
def test_a_mistake_is_found_where_it_was_made(changes: dict[str, Any], code: str, where: str) -> None:
    found = codes(changes, Secret("env", "KEY"))
    assert code in found, found
    assert found[code].startswith(where)


IN_DOCKER = {"runtime": "docker", "image": "engine:1"}
CERTIFICATE = {"ssl_certfile": "/etc/tls/own.crt"}


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        ({}, CERTIFICATE, set()),
        (IN_DOCKER, CERTIFICATE, set()),
        ({}, CERTIFICATE | {"ssl_cert_reqs": 2}, {"client-certificates"}),
        ({}, CERTIFICATE | {"ssl_cert_reqs": 0}, set()),
    ],
)
def test_an_endpoint_with_a_certificate(changes: dict[str, Any], values: Any, expected: set[str]) -> None:
    assert set(codes(HEAD | changes, Secret("file", "api-key"), values)) == expected


OLD = {"runtime": "docker", "image": "lmsysorg/sglang:v0.5.5"}
NEW = {"engine_version": "0.5.23", "runtime": "docker", "image": "lmsysorg/sglang:v0.5.23"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (OLD | {"behind_router": False}, ("fail", "host-header")),
        (OLD | {"behind_router": True}, ("warn", "host-header")),
        (OLD, ("warn", "host-header")),
        (OLD | {"behind_router": False, "host": "192.0.2.10"}, ("warn", "host-header")),
        (OLD | {"behind_router": False, "host": "127.0.0.1"}, None),
        (OLD | {"behind_router": False, "api_key": None}, None),
        (OLD | {"behind_router": False, "rank": 1, "rank_address": "192.0.2.11"}, None),
        (NEW | {"behind_router": False}, ("warn", "host-header-unknown")),
        (NEW | {"behind_router": True}, None),
        ({"behind_router": False, "starlette": "0.49.3"}, ("fail", "host-header")),
        ({"behind_router": False, "starlette": "1.0.1"}, None),
    ],
)
def test_a_version_whose_key_a_host_header_skips(changes: dict[str, Any], expected: tuple[str, str] | None) -> None:
    """CVE-2026-48710."""
    request = Request.from_options(SOUND | HEAD | changes)
    found = rules.check(
        request, Call(("engine",), {}, {}, rendezvous_port=25000, secret=Secret("file", "api-key")), {}, sizes(request)
    )
    about = [(one["severity"], one["code"]) for one in found if one["code"].startswith("host-header")]
    assert about == ([expected] if expected else [])


@pytest.mark.parametrize(
    "image",
    ["lmsysorg/sglang:v0.5.5", "registry.example:5000/a/b_c:1.2-cu128", "engine@sha256:" + "0" * 64],
)
def test_a_pinned_image_is_fine(image: str) -> None:
    assert codes({"image": image}) == {}


def test_attention_data_parallelism_does_not_multiply_the_processes() -> None:
    assert codes({"data_parallel_size": 16}, values={"enable_dp_attention": True}) == {}


def test_a_cpu_has_no_gpus_to_count() -> None:
    assert codes({"device": "cpu", "tensor_parallel_size": 2}) == {}


KEYS = [
    ("vllm", Secret("env", "VLLM_API_KEY"), set()),
    ("sglang", Secret("file", "api-key"), set()),
    ("sglang", Secret("file", "api-key", logged=True), {"key-in-log"}),
    ("sglang", Secret("module", "KEY", "--api-key", logged=True), {"key-in-log"}),
    ("lmdeploy", Secret("argument", "KEY", "--api-keys"), {"key-in-process-list"}),
    ("vllm", None, {"key-unused"}),
]


@pytest.mark.parametrize(("engine", "secret", "expected"), KEYS)
def test_who_can_see_the_key(engine: str, secret: Secret | None, expected: set[str]) -> None:
    assert set(codes(HEAD | {"engine": engine}, secret)) == expected


def test_sglang_wants_a_config_file_that_ends_in_yaml() -> None:
    assert "secret-file" in codes(HEAD | {"secret_file": "/etc/key.env"}, Secret("file", "api-key"))


@pytest.mark.parametrize("key", ["with space", "quo'te", "$HOME", "schlüssel", "a\nb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    assert "key-characters" in codes(HEAD | {"api_key": key}, Secret("env", "KEY"))


def test_the_prefix_of_the_variables_is_the_callers() -> None:
    found = codes({"variable_prefix": "serve_", "rank": 5, "engine_version": "x"})
    assert found["rank-out-of-range"] == "serve_rank"
