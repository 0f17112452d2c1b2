# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/sizing.md has what the code computes.

``PYTHONPATH=tests/unit python tests/unit/docs/test_sizing.py`` fills the tables again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from places import CHECKOUT

if __name__ == "__main__":
    import conftest  # noqa: F401  the collection's loader, which pytest loads by itself

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine as engine_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.layout import cost
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_logs import LOGS, compared, errors, left_out, middle
from memory_models import model_of
from model_configs import MODEL_CONFIGS

PAGE = CHECKOUT / "docs/sizing.md"
GIB = 1024**3
A100 = {"gpu": "NVIDIA A100-SXM4-80GB", "nodes": 4, "gpus_per_node": 8}
H20 = {"gpu": "NVIDIA H20", "nodes": 2, "gpus_per_node": 8}


def table(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in lines)


def in_gib(one: dict[str, Any]) -> str:
    large = one["unit"] == "bytes" and one["value"] > GIB / 10
    return f"{one['value'] / GIB:.1f} GiB" if large else ""


def plan_of(hardware: dict[str, Any]) -> dict[str, Any]:
    return parallel_plan(model_of("deepseek-r1"), hardware)


def arithmetic(plan: dict[str, Any]) -> str:
    rows = [
        [one["label"], f"`{one['formula']}`", f"{one['value']:,} {one['unit']}", in_gib(one)]
        for one in plan["fit"]["arithmetic"]
    ]
    fit = plan["fit"]
    sizes = ", ".join(f"`{name}: {value}`" for name, value in plan["engine_args"].items())
    enough = f"enough for {fit['max_full_length_sequences']} x {fit['context_length']:,}, the model's full context"
    words = f"Verdict: **{fit['verdict']}**, {fit['tokens_that_fit']:,} tokens, {enough}."
    words += f" Sizes: {sizes}; replicas: {plan['replicas']}."
    reasons = "\n".join(f"* {reason}." for reason in plan["why"])
    return f"{table(['', 'formula', 'value', ''], rows)}\n\n{words}\n\n{reasons}"


def considered(plan: dict[str, Any]) -> str:
    names = ["nodes", "tp", "pp", "dp", "ep", "verdict"]
    rows = [[row[name] for name in names] + [row["reason"]] for row in plan["considered"]]
    return table([*names, "reason"], rows)


def kv() -> str:
    rows = []
    for name, tp in (("deepseek-r1", 16), ("kimi-k2", 16), ("llama-3.1-405b", 16), ("qwen2.5-72b", 8)):
        result = memory_fit(model_of(name), {"gpu": "H100"}, {"tp": tp})
        rows += [[name, f"{result['kv_bytes_per_token']:,}", tp, f"{result['kv_bytes_per_token_per_gpu']:,}"]]
    return table(["model", "bytes per token", "tensor parallel", "of them on one GPU"], rows)


FAMILIES = (
    *("DeepSeek-V3.2", "DeepSeek-V4-Flash", "GLM-5.2", "Kimi-K3", "MiniMax-M2.5", "gpt-oss-120b", "Gemma-3-27B"),
    *("Step-3.5-Flash", "MiMo-V2-Flash", "Llama-4-Scout-17B-16E-Instruct", "Qwen3.5-397B-A17B"),
    *("NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", "Jamba-v0.1", "Falcon-H1-34B-Instruct", "Mistral-7B-v0.1"),
)


def families() -> str:
    """Of each kind of model one: the layers, and what a token and a request cost on one GPU with each engine."""
    configs = {row["model"].rpartition("/")[2]: row["config"] for row in MODEL_CONFIGS}
    rows = []
    for name in FAMILIES:
        shape, _findings = architecture(configs[name])
        kinds = {"grow": len(shape.growing), "window": shape.sliding_layers, "state": shape.linear_layers}
        layers = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        costs = [cost(shape, Parallel(), 2.0, engine_of(which), context=shape.context) for which in ("vllm", "sglang")]
        sizes = [f"{one.per_token:,}" for one in costs]
        rows.append(
            [name, layers, *sizes, f"{costs[0].per_request / 1024**2:,.1f} MiB" if costs[0].per_request else ""]
        )
    return table(["model", "layers", "per token, vLLM", "per token, SGLang", "per request, vLLM"], rows)


def blocks() -> str:
    rows = [
        [tp, one["message"], one["remedy"]]
        for tp in (16, 32)
        for one in memory_fit(model_of("deepseek-r1"), H20, {"tp": tp})["findings"]
        if one["code"] == "fp8-block-indivisible"
    ]
    return table(["tensor parallel", "finding", "remedy"], rows)


def measured() -> str:
    rows = []
    for engine in ("vllm", "sglang"):
        for used in ("fit", "held out"):
            found = errors(engine, used)
            worst = max(found, key=abs)
            rows.append([engine, used, len(found), f"{middle(found):.1%}", f"{worst:+.0%}"])
    found = left_out()
    rows.append(["vllm", "fit, each left out", len(found), f"{middle(found):.1%}", f"{max(found, key=abs):+.0%}"])
    return table(["engine", "logs", "number", "median error", "worst"], rows)


def logs() -> str:
    rows = []
    for log in LOGS["logs"]:
        one = compared(log)
        sizes = ", ".join(f"{size} {log[size]}" for size in ("tp", "pp", "dp") if size in log) or "tp 1"
        printed = "" if one.measured is None else f"{one.measured:.1f}"
        fit = one.fit
        between = f"{fit['kv_pool_low_bytes'] / GIB:.1f} to {fit['kv_pool_high_bytes'] / GIB:.1f}"
        what = f"{log['engine']} {log['release']}, {log['model']}, {log['gpu']}, {sizes}"
        rows.append([what, printed, f"{one.estimated:.1f}", between, fit["verdict"], log["outcome"], log["used"]])
    return table(["log", "printed, GiB", "estimate", "interval", "verdict", "what happened", "used"], rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "kv": kv,
    "families": families,
    "a100": lambda: arithmetic(plan_of(A100)),
    "a100-considered": lambda: considered(plan_of(A100)),
    "h20": lambda: arithmetic(plan_of(H20)),
    "h20-considered": lambda: considered(plan_of(H20)),
    "blocks": blocks,
    "measured": measured,
    "logs": logs,
}


def filled(page: str) -> str:
    return re.sub(
        r"(<!-- computed: ([\w-]+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}",
        page,
        flags=re.DOTALL,
    )


def test_the_page_has_what_the_code_computes() -> None:
    page = PAGE.read_text()
    assert set(re.findall(r"<!-- computed: ([\w-]+) -->", page)) == set(BLOCKS)
    assert page == filled(page), f"fill it again: PYTHONPATH=tests/unit python tests/unit/docs/{Path(__file__).name}"


def test_the_two_examples_fit() -> None:
    for hardware, sizes in ((A100, (32, 1)), (H20, (16, 1))):
        plan = plan_of(hardware)
        assert plan["ok"] and (plan["tp"], plan["pp"]) == sizes and plan["fit"]["verdict"] == "fits"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
