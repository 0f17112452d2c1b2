# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of a benchmark together: medians and spread, for people and for programs. Pure; private to this collection.

A result is what was measured of one deployment: ``deployment``, ``engine`` (name and version), ``client``, ``model``, ``prompts``
(their digest), ``output_tokens``, ``when`` and ``runs``, each as ``benchmark_run`` returns it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

SPEEDS, LATENCIES = ("output_tokens_per_s", "texts_per_s"), ("ttft_ms", "itl_ms", "latency_ms")
COLUMNS = ("deployment", "engine", "at a time", "tokens/s", "spread", "TTFT ms", "ITL ms", "failed")


def line(run: Mapping[str, Any]) -> str:
    """One run in one line."""
    lost = f", {run['failed']} failed" if run["failed"] else ""
    speed = (
        f"{run['output_tokens_per_s']:.1f} tokens/s, first token {run['ttft_ms']['median']:.0f} ms"
        if _generates(run)
        else (f"{run['texts_per_s']:.1f} texts/s, an answer in {run['latency_ms']['median']:.0f} ms")
    )
    return f"{run['concurrency']} at a time, {run['completed']} requests in {run['seconds']:.1f} s: {speed}{lost}"


def _generates(run: Mapping[str, Any]) -> bool:
    return "output_tokens_per_s" in run


def levels(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each concurrency, in their order: the median of its runs with the lowest and the highest.

    output_tokens_per_s, ttft_ms and itl_ms (of embeddings: texts_per_s and latency_ms) are each {median, min, max}, over the runs
    (of latencies: over each run's median);
    runs is how many there were, failed how many requests.
    """
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for run in runs:
        grouped.setdefault(run["concurrency"], []).append(run)
    return [
        {
            "concurrency": concurrency,
            "runs": len(same),
            "failed": sum(run["failed"] for run in same),
            **{name: _spread([run[name] for run in same]) for name in SPEEDS if name in same[0]},
            **{name: _spread([run[name]["median"] for run in same]) for name in LATENCIES if name in same[0]},
        }
        for concurrency, same in grouped.items()
    ]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 2), "min": min(values), "max": max(values)}


def rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A table of all levels of all results, a heading first. Where the clients differ, it names them."""
    clients = len({result.get("client") for result in results})
    table = [list(COLUMNS)]
    for result in results:
        for level in levels(result["runs"]):
            generates = _generates(level)
            speed = level["output_tokens_per_s" if generates else "texts_per_s"]
            table.append(
                [
                    result["deployment"],
                    f"{result['engine']}, by {result['client']}" if clients > 1 else result["engine"],
                    str(level["concurrency"]),
                    f"{speed['median']:.1f}" + ("" if generates else " texts/s"),
                    f"{speed['min']:.1f} to {speed['max']:.1f}" if level["runs"] > 1 else "one run",
                    f"{level['ttft_ms' if generates else 'latency_ms']['median']:.0f}",
                    f"{level['itl_ms']['median']:.1f}" if generates else "-",
                    str(level["failed"]),
                ]
            )
    return table


def cautions(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why numbers that stand in one table may not be compared."""
    notes = [
        (
            "client",
            "the clients differ, and each counts differently: set benchmark_client and benchmark_venv to one for all",
        ),
        ("prompts", "the prompts differ"),
        ("output_tokens", "the lengths of the answers differ"),
    ]
    return [text for name, text in notes if len({str(result.get(name)) for result in results}) > 1]


def markdown(results: Sequence[Mapping[str, Any]], picture: str) -> str:
    """The table as a page. picture: the plot's file beside it, empty where there is none."""
    table = rows(results)
    lines = ["# Benchmark", ""]
    lines += [
        f"- {result['deployment']}: model {result['model']}, {result['engine']}, measured {result['when']} "
        f"by {result['client']}'s client, {result['output_tokens']} tokens an answer"
        for result in results
    ]
    lines += [f"- Compare with care: {text}." for text in cautions(results)]
    lines += ["", f"| {' | '.join(table[0])} |", f"|{'---|' * len(table[0])}"]
    lines += [f"| {' | '.join(row)} |" for row in table[1:]]
    lines += [
        "",
        "Medians over the runs; TTFT is the time to the first token (of embeddings: to the whole answer), ITL the time between "
        "two tokens of an answer.",
    ]
    return "\n".join([*lines, *(["", f"![tokens per second by concurrency]({picture})"] if picture else [])]) + "\n"
