# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment with a rank's own address or interface, where options call for it; what the user sets wins."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.rank_env import uses_deepep
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render

OWN = "192.0.2.11"
OWN_VARIABLES = (
    *("VLLM_NIXL_SIDE_CHANNEL_HOST", "VLLM_EC_SIDE_CHANNEL_HOST", "VLLM_HOST_IP", "SGLANG_HOST_IP"),
    "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME",
)


def env(engine: str, version: str, arguments: dict[str, Any], **changes: Any) -> dict[str, str]:
    options = {
        "engine": engine,
        "engine_version": version,
        "rank": 1,
        "nnodes": 2,
        "head_address": "192.0.2.10",
        "rank_address": OWN,
        "interface": "eth7",
        "model": "/srv/models/m",
        "served_model_name": "m",
        "tensor_parallel_size": 16,
        "engine_args": arguments,
    }
    found = render(options | changes, read_catalog(engine))["env"]
    return {name: value for name, value in found.items() if name in OWN_VARIABLES}


NIXL = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
SEVERAL = {
    "kv_connector": "MultiConnector",
    "kv_role": "kv_both",
    "kv_connector_extra_config": {"connectors": [NIXL, {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}]},
}
ALONE = {"rank": 0, "nnodes": 1, "tensor_parallel_size": 8}
HOST_IP = {"VLLM_HOST_IP": OWN}
SOCKETS = {"NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME": "eth7"}


@pytest.mark.parametrize(
    ("engine", "version", "arguments", "changes", "expected"),
    [
        ("vllm", "0.20.2", {}, {}, HOST_IP),
        ("vllm", "0.20.2", {"kv_transfer_config": NIXL}, {}, HOST_IP | {"VLLM_NIXL_SIDE_CHANNEL_HOST": OWN}),
        ("vllm", "0.20.2", {"kv_transfer_config": SEVERAL}, ALONE, {"VLLM_NIXL_SIDE_CHANNEL_HOST": OWN}),
        (
            "vllm",
            "0.20.2",
            {"kv_transfer_config": {"kv_connector": "MooncakeConnector", "kv_role": "kv_both"}},
            ALONE,
            HOST_IP,
        ),
        ("vllm", "0.20.2", {"kv_transfer_config": NIXL}, ALONE | {"rank_address": None}, {}),
        ("vllm", "0.20.2", {"all2all_backend": "deepep_low_latency"}, {}, HOST_IP | SOCKETS),
        ("vllm", "0.20.2", {"all2all_backend": "deepep_low_latency"}, ALONE, {}),
        ("vllm", "0.20.2", {"all2all_backend": "naive"}, {}, HOST_IP),
        ("vllm", "0.10.2", {}, ALONE | {"env": {"VLLM_ALL2ALL_BACKEND": "deepep_low_latency"}}, {}),
        ("sglang", "0.5.12", {"moe_a2a_backend": "deepep"}, {}, {"SGLANG_HOST_IP": OWN} | SOCKETS),
        ("sglang", "0.4.8", {"enable_deepep_moe": True}, {}, {"SGLANG_HOST_IP": OWN} | SOCKETS),
        ("sglang", "0.5.12", {"disaggregation_mode": "decode"}, ALONE, {"SGLANG_HOST_IP": OWN}),
        ("sglang", "0.5.12", {}, ALONE, {}),
        (
            "vllm",
            "0.20.2",
            {"kv_transfer_config": NIXL},
            {"env": {"VLLM_NIXL_SIDE_CHANNEL_HOST": "192.0.2.99", "VLLM_HOST_IP": None}},
            {"VLLM_NIXL_SIDE_CHANNEL_HOST": "192.0.2.99"},
        ),
    ],
)
def test_environment(
    engine: str, version: str, arguments: dict[str, Any], changes: dict[str, Any], expected: dict[str, str]
) -> None:
    assert env(engine, version, arguments, **changes) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"all2all_backend": "deepep_v2"}, True),
        ({"moe_a2a_backend": "mooncake"}, False),
        ({"enable_deepep_moe": True}, True),
        ({}, False),
    ],
)
def test_who_uses_deepep(values: dict[str, Any], expected: bool) -> None:
    assert uses_deepep(Request("vllm", "0.20.2"), values) is expected
