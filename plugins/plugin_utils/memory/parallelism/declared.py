# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes as the filters `memory_fit` and `parallel_plan` take and give them, without the options of an engine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

NAMES = {
    "vllm": {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "dp": "data_parallel_size"},
    "sglang": {
        "tp": "tensor_parallel_size",
        "pp": "pipeline_parallel_size",
        "dp": "data_parallel_size",
        "ep": "expert_parallel_size",
    },
    "lmdeploy": {"tp": "tp", "dp": "dp", "ep": "ep"},
}
"""Engine → short name of a size → option."""


def options_of(engine: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """``{tp, pp, dp, ep, dp_attention}`` as options in the engine's own words; what the engine has no option for is left out.

    An engine that is not known is spoken to like vLLM.
    """
    names = NAMES.get(engine, NAMES["vllm"])
    options = {names[name]: size for name, size in sizes.items() if name in names and size is not None}
    if engine not in ("sglang", "lmdeploy") and str(sizes.get("ep") or 1) not in ("0", "1"):
        options["enable_expert_parallel"] = True
    if engine == "sglang" and sizes.get("dp_attention") is True:
        options["enable_dp_attention"] = True
    return options


def declared(engine: str, version: Any, sizes: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Parallel:
    """The parallel sizes that ``{tp, pp, dp, ep, dp_attention}`` mean, beside what ``options`` (resolved) say of others."""
    return parallel(engine, str(version or ""), {**(options or {}), **options_of(engine, sizes)})
