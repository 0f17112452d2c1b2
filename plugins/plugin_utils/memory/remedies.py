# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to write instead when a model does not fit or its sizes do not divide. Every change is tried before it is offered.

A finding's ``data["changes"]`` lists its remedy as the filters take it: ``engine_args``, ``parallel``,
``context_length``, ``max_concurrency``, ``dtype``, ``nodes``. With any one of them the verdict is ``fits``; for sizes that
do not divide: the engine would build the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import CONTEXT, FRACTION, HIGHEST
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.fit import FEWEST_TOKENS, Fit, Question, fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import divisibility
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.search import (
    Choice,
    Nodes,
    can,
    sized,
    smallest_nodes,
)

Change = dict[str, Any]
LOWEST = 0.5
NO_GPUS = "larger GPUs or a smaller (quantized) checkpoint"
SEQUENCES = (512, 256, 128, 64, 32, 16)


@dataclass(frozen=True)
class Way:
    """One change, in words and as data."""

    words: str
    change: Change


def explained(question: Question, sizes: Parallel, answer: Fit, there: Nodes, enough: bool = True) -> Fit:
    """The answer with a remedy for every finding on memory or sizes; only what is accepted is offered.

    enough: whether there are as many GPUs as these sizes take.
    """
    found = []
    for one in answer.findings:
        if one["code"] in ("tight", "does-not-fit") and not answer.refused:
            ways = [*(settled(question, sizes, answer) if enough else ()), *other_sizes(question, sizes, there)]
            found.append(offered(one, ways, NO_GPUS))
        elif one["code"] == "fraction-high":
            lower = list(_lower(question, sizes, answer.budget.fraction)) if enough else []
            found.append(offered(one, lower, f"at most {HIGHEST:g}"))
        elif _indivisible(one):
            dealt = _redundant(question, sizes) if one["code"] == "experts-indivisible" else ()
            found.append(
                offered(one, [*dealt, *_divisors(question, sizes, there)], "other sizes, or another checkpoint")
            )
        else:
            found.append(one)
    return replace(answer, findings=tuple(found))


def _indivisible(one: Finding) -> bool:
    """The engine would not build the model with these sizes."""
    return bool(one["severity"] == "fail" and one["where"].startswith("parallel") and one["code"] != "does-not-fit")


def offered(one: Finding, ways: list[Way], otherwise: str) -> Finding:
    words = "; or ".join(one.words for one in ways) or one["remedy"] or otherwise
    return {**one, "remedy": words, "data": {**one["data"], "changes": [one.change for one in ways]}}


def accepted(question: Question, sizes: Parallel) -> bool:
    """Fits, and the engine would build it."""
    answer = fit(question, sizes)
    return answer.verdict == "fits" and not answer.refused


def with_args(question: Question, **args: Any) -> Question:
    """The same question with other options of the engine."""
    return replace(question, engine=replace(question.engine, args={**question.engine.args, **args}))


def settled(question: Question, sizes: Parallel, answer: Fit) -> Iterator[Way]:
    """Changes that make it fit with the same sizes, the smallest first."""
    option = FRACTION.get(question.engine.name, "gpu_memory_utilization")
    if answer.verdict == "tight":
        higher = _first_fraction(question, sizes, answer.budget.fraction, 1)
        lower = _first_fraction(question, sizes, answer.budget.fraction, -1) if not higher else None
        for fraction in filter(None, (higher, lower)):
            tokens = fit(with_args(question, **{option: fraction}), sizes).fewest
            yield Way(
                f"{option}: {fraction:g} (then at least {tokens} tokens fit)", {"engine_args": {option: fraction}}
            )
        yield from _shorter(question, sizes, answer)
        yield from _fewer_requests(question, sizes, answer)
    yield from _fewer_sequences(question, sizes)


def _first_fraction(question: Question, sizes: Parallel, now: float, step: int) -> float | None:
    """The nearest fraction above or below with which it fits, in hundredths."""
    option = FRACTION.get(question.engine.name, "gpu_memory_utilization")
    hundredths = round(now * 100)
    last = round((HIGHEST if step > 0 else LOWEST) * 100)
    for candidate in range(hundredths + step, last + step, step):
        if abs(candidate / 100 - now) > 1e-9 and accepted(with_args(question, **{option: candidate / 100}), sizes):
            return candidate / 100
    return None


def _lower(question: Question, sizes: Parallel, now: float) -> Iterator[Way]:
    option = FRACTION.get(question.engine.name, "gpu_memory_utilization")
    fraction = _first_fraction(question, sizes, min(now, HIGHEST + 0.01), -1)
    if fraction:
        yield Way(f"{option}: {fraction:g}", {"engine_args": {option: fraction}})


def _shorter(question: Question, sizes: Parallel, answer: Fit) -> Iterator[Way]:
    """A shorter context at this fraction; otherwise at the highest with which there is any."""
    option = FRACTION.get(question.engine.name, "gpu_memory_utilization")
    trials: list[tuple[Question, dict[str, float]]] = [(question, {})] + [
        (with_args(question, **{option: fraction}), {option: fraction}) for fraction in (0.92, HIGHEST)
    ]
    for trial, args in trials:
        fewest = fit(trial, sizes).fewest // question.wish.concurrency // 1024 * 1024
        if not FEWEST_TOKENS <= fewest < answer.context:
            continue
        shorter, change = _with_context(trial, fewest)
        if accepted(shorter, sizes):
            change = {**change, "engine_args": {**args, **change.get("engine_args", {})}}
            words = "".join(f"{name}: {value:g} and " for name, value in args.items())
            yield Way(f"{words}{CONTEXT.get(question.engine.name, 'context_length')}: {fewest}", change)
            return


def _with_context(question: Question, tokens: int) -> tuple[Question, Change]:
    if question.wish.context or question.engine.name not in CONTEXT:
        return replace(question, wish=replace(question.wish, context=tokens)), {"context_length": tokens}
    args = {CONTEXT[question.engine.name]: tokens}
    return with_args(question, **args), {"engine_args": args}


def _fewer_requests(question: Question, sizes: Parallel, answer: Fit) -> Iterator[Way]:
    fewer = answer.fewest // max(1, answer.context)
    if 1 <= fewer < question.wish.concurrency:
        wish = replace(question.wish, concurrency=fewer)
        if accepted(replace(question, wish=wish), sizes):
            yield Way(f"{fewer} requests of full length at the same time", {"max_concurrency": fewer})


def _fewer_sequences(question: Question, sizes: Parallel) -> Iterator[Way]:
    """vLLM profiles its sampler with all sequences that may run at once."""
    if question.engine.name != "vllm":
        return
    for sequences in SEQUENCES:
        if accepted(with_args(question, max_num_seqs=sequences), sizes):
            yield Way(f"max_num_seqs: {sequences}", {"engine_args": {"max_num_seqs": sequences}})
            return


def other_sizes(question: Question, sizes: Parallel, there: Nodes) -> Iterator[Way]:
    """The smallest number of such nodes with which a replica fits."""
    choice = smallest_nodes(question, there)
    if choice and choice.sizes != sizes:
        yield _sized_way(choice.sizes, choice.nodes, there)


def change_to(choice: Choice, there: Nodes) -> Change:
    """A choice of the search as a change."""
    return _sized_way(choice.sizes, choice.nodes, there).change


def _sized_way(sizes: Parallel, count: int, there: Nodes) -> Way:
    change: Change = {"parallel": {"tp": sizes.tp, "pp": sizes.pp, "dp": sizes.schedulers, "ep": sizes.ep}}
    words = f"tp {sizes.tp}, pp {sizes.pp}" + (f", ep {sizes.ep}" if sizes.ep > 1 else "")
    if sizes.schedulers > 1:
        words += f", dp {sizes.schedulers}"
    if count > there.count:
        change["nodes"] = count
        words = f"{count} such nodes ({words})"
    return Way(words, change)


def _redundant(question: Question, sizes: Parallel) -> Iterator[Way]:
    """Physical copies of experts with which they can be dealt (SGLang)."""
    experts = question.loaded.shape.experts
    more = -(experts + sizes.redundant_experts) % sizes.ep + sizes.redundant_experts
    trial = replace(sizes, redundant_experts=more)
    failed = any(one["severity"] == "fail" for one in divisibility(question.loaded.shape, trial))
    if question.engine.name == "sglang" and not failed:
        args = {"ep_num_redundant_experts": more}
        yield Way(f"ep_num_redundant_experts: {more}", {"engine_args": args})


def _divisors(question: Question, sizes: Parallel, there: Nodes) -> Iterator[Way]:
    """Sizes of as many GPUs, or the next fewer, that divide the model; one that fits first."""
    best = None
    for gpus in range(min(sizes.copy_gpus, there.count * there.gpus), 0, -1):
        for tp in range(gpus, 0, -1):
            stages = gpus // tp
            if (
                gpus % tp
                or stages > max(1, question.loaded.shape.layers)
                or (stages > 1 and question.engine.name == "lmdeploy")
            ):
                continue
            for ep in (1, tp) if question.loaded.shape.experts and tp > 1 else (1,):
                if not can(question.engine, tp=tp, pp=stages, ep=ep):
                    continue
                trial = sized(question, tp=tp, pp=stages, ep=ep)
                if any(one["severity"] == "fail" for one in divisibility(question.loaded.shape, trial)):
                    continue
                if accepted(question, trial):
                    yield _sized_way(trial, 1, there)
                    return
                best = best or trial
        if best and gpus < sizes.copy_gpus // 2:
            break
    if best:
        yield _sized_way(best, 1, there)
