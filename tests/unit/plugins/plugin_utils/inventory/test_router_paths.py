# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests a router passes on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import router_paths, tasks

CONTROL = (
    "/invocations /tokenize /detokenize /metrics /health /ping /version /docs /openapi.json /scale_elastic_ep /flush_cache "
    "/sleep "
    "/wake_up /pause /resume /collective_rpc /reset_prefix_cache /update_weights /v1/load_lora_adapter /v1/unload_lora_adapter "
    "/server_info /get_server_info /start_profile /abort_requests /terminate /distserve/engine_info /vertex_generate /api/chat "
    "/open_session /release_memory_occupation /v1/tokenize /generate_from_file"
).split()


@pytest.mark.parametrize("engine", ["vllm", "sglang", "lmdeploy", ""])
def test_what_controls_an_engine_or_is_another_address_is_not_passed_on(engine: str) -> None:
    found = router_paths.paths(engine, tasks.task(engine, {}))
    for path in CONTROL:
        for words in found.values():
            assert not [word for word in words if word == path or (word[0] == "^" and re.match(word, path))]
    assert "/v1/chat/completions" in found["post"] and "/v1/models" in found["get"]


@pytest.mark.parametrize(
    ("engine", "args", "generates", "pools"),
    [
        ("vllm", {}, True, True),
        ("vllm", {"runner": "pooling"}, False, True),
        ("vllm", {"runner": "generate"}, True, False),
        ("vllm", {"task": "embed"}, False, True),
        ("sglang", {"is_embedding": True}, False, True),
    ],
)
def test_paths_follow_from_what_the_model_is_for(
    engine: str, args: dict[str, Any], generates: bool, pools: bool
) -> None:
    post = router_paths.paths(engine, tasks.task(engine, args))["post"]
    assert ("/v1/completions" in post, "/v1/embeddings" in post) == (generates, pools)


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/v1/models/tiny", True),
        ("/v1/models/org/tiny-1.5:lora", True),
        ("/v1/models/../metrics", False),
        ("/v1/models/.hidden", False),
        ("/v1/models//tiny", False),
        ("/v1/models/%2e%2e", False),
    ],
)
def test_names_of_models_in_paths(path: str, passed: bool) -> None:
    assert bool(re.match(router_paths.MODELS[1], path)) is passed


def test_further_paths() -> None:
    found = router_paths.paths("vllm", tasks.task("vllm", {}), ["POST /tokenize", "GET /version", "POST /tokenize"])
    assert found["post"].count("/tokenize") == 1 and "/version" in found["get"]
    assert (
        router_paths.wrong(["POST /tokenize", "GET /a/b-c_d.e~f", "POST /v1beta/models/x:generateContent"], "here")
        == []
    )
    wrong = ["/tokenize", "PUT /x", "POST x", "POST /a//b", "POST /../x", "POST /a b", "POST /a?b", 7, "POST /.x"]
    assert len(router_paths.wrong(wrong, "here")) == len(wrong)
