# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a model fit on these GPUs, with this engine and these sizes? The sum of the other memory modules.

Each estimate of the KV pool has an interval. The verdict:

* ``fits``: even at the lower end the pool holds ``max_concurrency`` requests of ``context_length`` tokens, and what the engine
  takes outside its fraction is there.
* ``tight``: the engine may start, or starts with a shorter context, fewer requests or another fraction. Also whatever lies
  within the interval, and every fraction above 0.95.
* ``does not fit``: not even at the upper end 2048 tokens beside the weights, at the highest fraction that we would propose
  (0.95) or at the one that was set.
* ``unknown``: the model's or the GPU's size is not known; the findings name what is missing.

What to do about a verdict is tried out first: `remedies`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.budget import budget
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import FRACTION, HIGHEST, Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import Gpu, board_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_cache import (
    element_bytes,
    kv_per_token,
    kv_per_token_per_gpu,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.loading import as_loaded
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Budget, Load
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import capability_findings, divisibility
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import MIB, Line, line
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.weights import Weights, per_gpu

FEWEST_TOKENS = 2048
"""A pool below this serves no request: it is the smallest prefill chunk that SGLang reckons with."""


@dataclass(frozen=True)
class Wish:
    """What the deployment shall hold."""

    context: int = 0
    """Tokens of one request; 0 takes the engine's setting, then the model's own maximum."""
    concurrency: int = 1
    """Requests of full length at the same time."""
    kv_dtype: str = ""
    """KV cache dtype; empty takes the engine's setting."""


@dataclass(frozen=True)
class Question:
    """One model on one kind of GPU with one engine; parallel sizes are tried one after the other."""

    loaded: Weights
    gpu: Gpu
    engine: Engine
    wish: Wish

    @property
    def context(self) -> int:
        """The context length that counts, in tokens."""
        return self.wish.context or self.engine.context or self.loaded.shape.context or FEWEST_TOKENS

    @property
    def wanted(self) -> int:
        """Tokens of all requests together."""
        return self.context * self.wish.concurrency

    @property
    def answerable(self) -> bool:
        """Everything is known that the verdict needs."""
        shape = self.loaded.shape
        return bool(self.loaded.total and self.gpu.memory_mib and shape.layers and shape.heads and shape.hidden)


@dataclass(frozen=True)
class Fit:
    """The answer for one set of parallel sizes. Bytes on the fullest GPU."""

    verdict: str
    weights: int = 0
    replicated: int = 0
    kv_per_token: int = 0
    kv_per_token_per_gpu: int = 0
    budget: Budget = field(default_factory=lambda: Budget(0.0, 0, 0))
    tokens: int = 0
    """Tokens in one KV pool."""
    fewest: int = 0
    """Tokens in one KV pool at the lower end of the interval."""
    most: int = 0
    """Tokens in one KV pool at the upper end of the interval."""
    context: int = 0
    arithmetic: tuple[Line, ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: bool = False
    """Whatever the memory: the engine would not build the model with these sizes on these GPUs."""


def fit(question: Question, sizes: Parallel) -> Fit:
    """Answer ``question`` for ``sizes``; what could be done instead is not part of the answer (`remedies`)."""
    shape = question.loaded.shape
    found = [*divisibility(shape, sizes), *capability_findings(shape, question.gpu, question.engine)]
    refused = any(one["severity"] == "fail" for one in found)
    found += board_findings(question.gpu)
    if not question.answerable:
        return Fit("unknown", findings=tuple(found), refused=refused)
    held, extra, lines = per_gpu(question.loaded, sizes)
    held, changed = as_loaded(held, shape, sizes, question.engine)
    width, unknown = element_bytes(question.wish.kv_dtype or question.engine.kv_dtype, shape)
    per_token, more = kv_per_token_per_gpu(shape, sizes, width)
    load = Load(question.gpu, held, shape, sizes, question.context)
    taken = budget(question.engine, load)
    highest = taken if question.engine.fraction else budget(question.engine, load, max(HIGHEST, taken.fraction))
    tokens = tokens_in(taken.kv, per_token)
    in_pool = line("tokens that fit", f"{max(0, taken.kv)} / {per_token}", tokens, "tokens")
    answer = Fit(
        _verdict(question, taken, highest, per_token),
        weights=held,
        replicated=extra,
        kv_per_token=kv_per_token(shape, width),
        kv_per_token_per_gpu=per_token,
        budget=taken,
        tokens=tokens,
        fewest=tokens_in(taken.low, per_token),
        most=tokens_in(taken.high, per_token),
        context=question.context,
        refused=refused,
        arithmetic=(*question.loaded.arithmetic, *lines, *changed, *taken.arithmetic, *more, in_pool),
    )
    why = [*_verdict_findings(question, answer, highest), *_fraction_findings(question, taken)]
    return replace(answer, findings=(*why, *found, *unknown))


def tokens_in(pool: int, per_token: int) -> int:
    """Tokens in a pool of so many bytes."""
    return max(0, pool) // per_token if per_token else (0 if pool <= 0 else 10**9)


def _verdict(question: Question, taken: Budget, highest: Budget, per_token: int) -> str:
    sure = tokens_in(taken.low, per_token) >= question.wanted and taken.spare >= 0
    if sure and taken.fraction <= HIGHEST:
        return "fits"
    starts = tokens_in(highest.high, per_token) >= min(FEWEST_TOKENS, question.wanted)
    return "tight" if starts else "does not fit"


def refuses(question: Question, answer: Fit) -> bool:
    """The engine would not start: no pool at all; vLLM also where the pool cannot hold one request of full length."""
    short = question.engine.name not in ("sglang", "lmdeploy") and answer.tokens < answer.context
    return answer.budget.kv <= 0 or short


def _verdict_findings(question: Question, answer: Fit, highest: Budget) -> list[Finding]:
    """Why the verdict is not ``fits``."""
    if answer.verdict == "fits":
        return []
    option = FRACTION.get(question.engine.name, "gpu_memory_utilization")
    memory = human.binary(question.gpu.memory_mib * MIB)
    room = f"weights take {human.binary(answer.weights)} of {memory} on each {question.gpu.name}"
    if answer.verdict == "does not fit":
        beside = (
            f"{human.binary(highest.kv)} are left" if highest.kv >= 0 else f"{human.binary(-highest.kv)} are missing"
        )
        return [finding("fail", "does-not-fit", "parallel", f"{room}; {beside} at {option} {highest.fraction:g}")]
    message = f"{room}; {answer.tokens} tokens fit ({answer.fewest} to {answer.most}), {question.wanted} are wanted"
    if answer.budget.kv <= 0:
        message = f"{room}; {human.binary(-answer.budget.kv)} are missing for a KV pool at {option} {answer.budget.fraction:g}"
    elif answer.budget.spare < 0:
        message += (
            f"; beside the fraction {human.binary(-answer.budget.spare)} may be missing for context, NCCL and graphs"
        )
    severity = "fail" if refuses(question, answer) else "warn"
    return [finding(severity, "tight", f"engine_args.{option}", message)]


def _fraction_findings(question: Question, taken: Budget) -> list[Finding]:
    if taken.fraction <= HIGHEST:
        return []
    option = FRACTION.get(question.engine.name, "gpu_memory_utilization")
    message = f"{option} {taken.fraction:g} leaves too little for what the engine allocates beside it"
    return [finding("warn", "fraction-high", f"engine_args.{option}", message)]
