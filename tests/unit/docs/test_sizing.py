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

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_models import model_of

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


def blocks() -> str:
    rows = [
        [tp, one["message"], one["remedy"]]
        for tp in (16, 32)
        for one in memory_fit(model_of("deepseek-r1"), H20, {"tp": tp})["findings"]
        if one["code"] == "fp8-block-indivisible"
    ]
    return table(["tensor parallel", "finding", "remedy"], rows)


def measured() -> str:
    two_nodes = memory_fit(model_of("deepseek-r1"), {"gpu": "H100"}, {"tp": 16})["weights_per_gpu_bytes"] / GIB
    one_node = memory_fit(model_of("deepseek-r1"), {"gpu": "H200"}, {"tp": 8}, "vllm")
    rows = [
        ["SGLang, free after loading on 16 GPUs", "37.7 GiB", f"79.1 - {two_nodes:.1f} = {79.1 - two_nodes:.1f} GiB"],
        ["KV bytes per token", f"{10.57 * GIB / 161488:,.0f}", f"{one_node['kv_bytes_per_token']:,}"],
        ["vLLM, weights per GPU on 8 GPUs", "79.7 GiB", f"{one_node['weights_per_gpu_bytes'] / GIB:.1f} GiB"],
        ["tokens in 41.60 GiB", "635,648", f"{int(41.60 * GIB) // one_node['kv_bytes_per_token_per_gpu']:,}"],
    ]
    return table(["", "measured", "computed"], rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "kv": kv,
    "a100": lambda: arithmetic(plan_of(A100)),
    "a100-considered": lambda: considered(plan_of(A100)),
    "h20": lambda: arithmetic(plan_of(H20)),
    "h20-considered": lambda: considered(plan_of(H20)),
    "blocks": blocks,
    "measured": measured,
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
