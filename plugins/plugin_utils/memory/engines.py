# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine with what was set for it about memory: fraction, context, KV dtype. How it divides the memory: `budget`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import snake
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import resolved
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import length, mapping, number

FRACTION = {
    "sglang": "mem_fraction_static",
    "vllm": "gpu_memory_utilization",
    "lmdeploy": "cache_max_entry_count",
}
CONTEXT = {"sglang": "context_length", "vllm": "max_model_len", "lmdeploy": "session_len"}
QUANT_POLICY = {"4": "int4", "8": "int8"}  # lmdeploy's names for the KV dtype

HIGHEST = 0.95
"""The largest fraction that we would still propose: the rest holds the CUDA context, NCCL buffers, CUDA graphs and what the
allocator loses. Above it a warning: the published starts with 0.98 and more (vllm#13061, vllm#13074,
deepseek-ai/DeepSeek-V3#205) refused or ran out of memory."""


@dataclass(frozen=True)
class Engine:
    """An engine with what was set for it, in its own words."""

    name: str
    release: str
    """As it was given; empty when it was not."""
    args: Mapping[str, Any]
    """Canonical name of this version → value, where the engine is known."""

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers of the release."""
        return numbers(self.release)

    def since(self, *release: int) -> bool:
        """Whether it is this release or a newer one; an unknown release counts as the newest."""
        return not self.version or self.version >= release

    @property
    def speculative(self) -> bool:
        """Whether a draft model or multi token prediction was asked for."""
        return any(self.args.get(name) for name in ("speculative_config", "speculative_algorithm", "speculative_model"))

    @property
    def fraction(self) -> float:
        """The fraction that was set; 0 when it was left to the engine."""
        return min(1.0, number(self.args.get(FRACTION.get(self.name, ""))))

    @property
    def context(self) -> int:
        """The context length that was set, in tokens; 0 when it was left to the model."""
        return length(self.args.get(CONTEXT.get(self.name, "")))

    @property
    def adapts(self) -> bool:
        """The engine takes the longest context that fits: ``max_model_len`` is ``auto`` or -1 (vLLM)."""
        return self.name == "vllm" and str(self.args.get(CONTEXT["vllm"])).strip().lower() in ("auto", "-1")

    @property
    def kv_dtype(self) -> str:
        """The KV cache's dtype that was set; ``auto`` when it was left to the engine."""
        if self.name == "lmdeploy":
            return QUANT_POLICY.get(str(self.args.get("quant_policy")), "auto")
        return str(self.args.get("kv_cache_dtype") or "auto")


def engine(name: Any, release: Any = None, args: Any = None) -> Engine:
    """Read an engine with options in any spelling that its version takes; without a version those of the newest count."""
    known, written = str(name or "").lower(), {str(key): value for key, value in mapping(args).items()}
    if known in FRACTION:
        catalog = read_catalog(known)
        options = resolved(catalog.at(str(release or catalog.versions[-1])), written)
    else:
        options = {snake(key): value for key, value in written.items()}
    return Engine(known, str(release or ""), options)
