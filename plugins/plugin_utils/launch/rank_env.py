# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment that options of a launch call for and that differs by rank: its own address, or its own interface.

* NIXL: each rank opens a side channel, by default on localhost, at which others ask for its memory
  (VLLM_NIXL_SIDE_CHANNEL_HOST in vllm/envs.py, 0.9.0 to 0.33.0; kv_connector/v1/nixl/base_scheduler.py, 0.28.0). That of encoder
  caches is VLLM_EC_SIDE_CHANNEL_HOST (vllm/envs.py and ec_transfer/ec_connector/cpu, 0.33.0).
* Mooncake and MoRI take vLLM's get_ip(): VLLM_HOST_IP (vllm/distributed/kv_transfer/kv_connector/v1/mooncake, 0.33.0).
* SGLang's prefill and decode servers name themselves by get_local_ip_auto(): SGLANG_HOST_IP, else by a route to the internet
  (sglang/srt/disaggregation/common/conn.py, 0.5.12).
* DeepEP meets over NVSHMEM, whose bootstrap takes the first interface that it finds (documentation of NVSHMEM, Environment
  Variables: NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME).

Names that a version does not know are not read by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Setting, present
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request

NIXL = "NixlConnector", "NixlPullConnector", "NixlPushConnector"
BY_HOST_IP = "MooncakeConnector", "MooncakeStoreConnector", "MoRIIOConnector"


def rank_env(request: Request, values: Mapping[str, Any]) -> dict[str, Setting]:
    """What this rank needs. values: option in snake case → value, as on the command line."""
    env = _deepep(request, values)
    address = request.rank_address
    if not address:
        return env
    connectors = set(_connectors(values.get("kv_transfer_config")))
    if connectors & set(NIXL):
        env |= present(VLLM_NIXL_SIDE_CHANNEL_HOST=(address, "rank_address"))
    if connectors & set(BY_HOST_IP):
        env |= present(VLLM_HOST_IP=(address, "rank_address"))
    if values.get("ec_transfer_config"):
        env |= present(VLLM_EC_SIDE_CHANNEL_HOST=(address, "rank_address"))
    if request.engine == "sglang" and values.get("disaggregation_mode") in ("prefill", "decode"):
        env |= present(SGLANG_HOST_IP=(address, "rank_address"))
    return env


def uses_deepep(request: Request, values: Mapping[str, Any]) -> bool:
    """Whether experts of different GPUs exchange tokens by DeepEP."""
    chosen = str(
        values.get("all2all_backend") or values.get("moe_a2a_backend") or request.env.get("VLLM_ALL2ALL_BACKEND") or ""
    )
    return chosen.startswith("deepep") or bool(values.get("enable_deepep_moe"))


def _deepep(request: Request, values: Mapping[str, Any]) -> dict[str, Setting]:
    if request.nnodes == 1 or not request.interface or not uses_deepep(request, values):
        return {}
    return present(NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME=(request.interface, "interface"))


def _connectors(config: Any) -> list[str]:
    """Names of the connectors in ``kv_transfer_config``, those of a MultiConnector included."""
    if not isinstance(config, Mapping):
        return []
    extra = config.get("kv_connector_extra_config")
    inner = extra.get("connectors") if isinstance(extra, Mapping) else None
    nested = [name for one in inner or [] for name in _connectors(one)] if isinstance(inner, list) else []
    return [str(config.get("kv_connector") or ""), *nested]
