# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the runs of a benchmark."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.report import benchmark, benchmark_plot


def run(concurrency: int, speed: float, failed: int = 0) -> dict[str, Any]:
    three = {"median": 100.0 / speed, "mean": 1.0, "p99": 2.0}
    latencies = {f"{name}_ms": three for name in ("ttft", "itl", "tpot")}
    return {
        "concurrency": concurrency,
        "output_tokens_per_s": speed,
        "failed": failed,
        "completed": 8,
        "seconds": 1.0,
    } | latencies


def result(name: str, client: str = "vllm", **more: Any) -> dict[str, Any]:
    return {
        "deployment": name,
        "engine": "vllm 0.32.0",
        "client": client,
        "model": "tiny",
        "prompts": "256 words",
        "output_tokens": 32,
        "when": "2026-01-01T00:00:00Z",
        "runs": [run(1, 10), run(1, 30), run(1, 20, failed=2), run(4, 50)],
    } | more


def test_levels_are_medians_with_their_spread() -> None:
    one, four = benchmark.levels(result("a")["runs"])
    assert one["output_tokens_per_s"] == {"median": 20, "min": 10, "max": 30}
    assert (one["concurrency"], one["runs"], one["failed"]) == (1, 3, 2)
    assert (four["concurrency"], four["runs"], four["failed"]) == (4, 1, 0)


def test_the_table_has_a_line_for_each_level_of_each_deployment() -> None:
    rows = benchmark.rows([result("a"), result("b")])
    assert [row[:4] for row in rows[1:]] == [
        ["a", "vllm 0.32.0", "1", "20.0"],
        ["a", "vllm 0.32.0", "4", "50.0"],
        ["b", "vllm 0.32.0", "1", "20.0"],
        ["b", "vllm 0.32.0", "4", "50.0"],
    ]
    assert rows[1][4] == "10.0 to 30.0"


def test_what_may_not_be_compared_is_reported() -> None:
    assert benchmark.cautions([result("a"), result("b")]) == []
    assert len(benchmark.cautions([result("a"), result("b", "sglang", output_tokens=64)])) == 2
    assert {row[1] for row in benchmark.rows([result("a"), result("b", "sglang")])[1:]} == {
        "vllm 0.32.0, by vllm",
        "vllm 0.32.0, by sglang",
    }


def test_the_page_is_a_markdown_table() -> None:
    page = benchmark.markdown([result("a"), result("b", "sglang")], "x.svg")
    assert page.count("| a |") == 2
    assert "Compare with care: the clients differ" in page
    assert page.endswith("(x.svg)\n")


def test_the_plot_shows_every_deployment() -> None:
    picture = benchmark_plot.svg([result("a"), result("b")])
    assert picture.lstrip().startswith("<?xml")
    assert "a (vllm 0.32.0)" in picture and "b (vllm 0.32.0)" in picture


def test_embeddings_are_counted_in_texts() -> None:
    run = {"concurrency": 4, "completed": 8, "failed": 0, "seconds": 2.0, "texts_per_s": 4.0}
    run |= {"latency_ms": {"median": 12.0, "mean": 13.0, "p99": 20.0}}
    assert benchmark.line(run) == "4 at a time, 8 requests in 2.0 s: 4.0 texts/s, an answer in 12 ms"
    result = {"deployment": "minilm", "engine": "vllm 0.32.0", "client": "vllm", "runs": [run]}
    assert benchmark.rows([result])[1] == ["minilm", "vllm 0.32.0", "4", "4.0 texts/s", "one run", "12", "-", "0"]
