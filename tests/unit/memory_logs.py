# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published start-up logs beside our estimate of each."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Load
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool_vllm import batch
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_models import config_of
from places import DATA

LOGS = yaml.safe_load((DATA / "memory_logs.yml").read_text())
GIB = 1024**3
SIZES = ("tp", "pp", "dp", "ep")


@dataclass(frozen=True)
class Compared:
    """One log: GiB per GPU that were printed and that we estimate."""

    log: dict[str, Any]
    fit: dict[str, Any]

    @property
    def measured(self) -> float | None:
        measured: float | None = self.log.get("by_tokens", self.log.get("pool"))
        return measured

    @property
    def estimated(self) -> float:
        return float(self.fit["kv_pool_bytes"]) / GIB

    @property
    def error(self) -> float | None:
        """Estimated over measured, minus 1; None where there was no pool."""
        return None if not self.measured or self.measured <= 0 else self.estimated / self.measured - 1

    @property
    def inside(self) -> bool:
        low, high = self.fit["kv_pool_low_bytes"] / GIB, self.fit["kv_pool_high_bytes"] / GIB
        return self.measured is not None and low <= self.measured <= high

    @property
    def name(self) -> str:
        sizes = "-".join(f"{size}{self.log[size]}" for size in SIZES if size in self.log)
        return f"{self.log['engine']}-{self.log['release']}-{self.log['model']}-{self.log['gpu']}-{sizes}".replace(
            " ", ""
        )


def model(name: str) -> dict[str, Any]:
    described = LOGS["models"][name]
    config = config_of(described["config_of"]) if "config_of" in described else described["config"]
    return {"config": {**config, **described.get("more", {})}, "total_size": described["total_size"]}


def compared(log: dict[str, Any]) -> Compared:
    option = {"vllm": "gpu_memory_utilization", "sglang": "mem_fraction_static"}[log["engine"]]
    args = {**log.get("args", {}), **({option: log["fraction"]} if "fraction" in log else {})}
    hardware = {"gpu": log["gpu"], "memory_mib": log.get("memory_mib"), "compute_capability": log.get("capability")}
    if "context" in log:
        args["max_model_len" if log["engine"] == "vllm" else "context_length"] = log["context"]
    sizes = {name: log[name] for name in SIZES if name in log}
    fit = memory_fit(
        model(log["model"]), hardware, sizes, log["engine"], engine_version=log["release"], engine_args=args
    )
    return Compared(log, fit)


def errors(engine: str, used: str) -> list[float]:
    """Errors of the logs that served or whose pool was printed."""
    found = [compared(log).error for log in LOGS["logs"] if log["engine"] == engine and log["used"] == used]
    return [error for error in found if error is not None]


def left_out() -> list[float]:
    """Errors of vLLM's logs when the constant that each of them depends on most is the median of the other logs' values.

    That is NCCL's share where NVLink joins several GPUs, otherwise the bytes per logit of the sampler before or after 0.17.
    """
    known: dict[str, list[tuple[Compared, float]]] = {}
    for log in LOGS["logs"]:
        one = compared(log)
        if log["engine"] == "vllm" and log["used"] == "fit" and one.error is not None and one.measured:
            kind, weight = _constant_of(log)
            known.setdefault(kind, []).append((one, weight))
    found = []
    for ones in known.values():
        for one, weight in ones:
            others = [(other.estimated - (other.measured or 0)) / by for other, by in ones if other is not one]
            estimated = one.estimated - (median(others) * weight if others else 0)
            found.append(estimated / (one.measured or 1) - 1)
    return found


def _constant_of(log: dict[str, Any]) -> tuple[str, float]:
    """Which constant, and GiB of the pool per unit of it."""
    card = gpu({"gpu": log["gpu"], "memory_mib": log.get("memory_mib")})
    which = engine("vllm", log["release"], log.get("args"))
    if card.nvlink and max(log.get("tp", 1), log.get("dp", 1)) > 1:
        return "nccl", 1.0
    described = model(log["model"])
    shape, _ = architecture(described["config"])
    context = log.get("context") or shape.context
    _, sequences = batch(which, Load(card, 0, shape, Parallel(), context))
    return ("new" if which.since(0, 17) else "old"), sequences * shape.vocab / GIB


def middle(values: list[float]) -> float:
    return median(abs(value) for value in values)
