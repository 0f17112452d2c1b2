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
    kv_range,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.layout import Cost, cost
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.loading import as_loaded
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Budget, Load
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool_vllm import batch
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
        if self.engine.adapts and not self.wish.context:
            return FEWEST_TOKENS  # whatever fits is long enough
        return self.wish.context or self.engine.context or self.loaded.shape.context or FEWEST_TOKENS

    @property
    def wanted(self) -> int:
        """Tokens of all requests together."""
        return self.context * self.wish.concurrency

    @property
    def answerable(self) -> bool:
        """Everything is known that the verdict needs."""
        shape = self.loaded.shape
        return bool(
            self.loaded.total
            and self.gpu.memory_mib
            and shape.layers
            and (shape.heads or shape.linear_layers)
            and shape.hidden
        )


@dataclass(frozen=True)
class Fit:
    """The answer for one set of parallel sizes. Bytes on the fullest GPU."""

    verdict: str
    weights: int = 0
    replicated: int = 0
    kv_per_token: int = 0
    kv_range: tuple[int, int] = (0, 0)
    """Lowest and highest growth per token; the same twice where the family is known."""
    kv_per_token_per_gpu: int = 0
    kv_per_request_per_gpu: int = 0
    """Windows and states of one running request."""
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
    load = Load(question.gpu, held, shape, sizes, question.context)
    batched = batch(question.engine, load)[0] if question.engine.name == "vllm" else 0
    spent = cost(shape, sizes, width, question.engine, context=question.context, batched=batched)
    taken = budget(question.engine, load)
    highest = taken if question.engine.fraction else budget(question.engine, load, max(HIGHEST, taken.fraction))
    requests = question.wish.concurrency
    tokens = spent.tokens(taken.kv, requests)
    besides = requests * spent.per_request + spent.once
    pool = f"({max(0, taken.kv)} - {besides})" if besides else f"{max(0, taken.kv)}"
    in_pool = line("tokens that fit", f"{pool} / {spent.per_token}", tokens, "tokens")
    answer = Fit(
        _verdict(question, taken, highest, spent),
        weights=held,
        replicated=extra,
        kv_per_token=kv_per_token(shape, width),
        kv_range=kv_range(shape, width),
        kv_per_token_per_gpu=spent.per_token,
        kv_per_request_per_gpu=spent.per_request,
        budget=taken,
        tokens=tokens,
        fewest=spent.tokens(taken.low, requests),
        most=spent.tokens(taken.high, requests, hopeful=True),
        context=question.context,
        refused=refused,
        arithmetic=(*question.loaded.arithmetic, *lines, *changed, *taken.arithmetic, *spent.arithmetic, in_pool),
    )
    why = [*_verdict_findings(question, answer, highest), *_fraction_findings(question, taken)]
    return replace(answer, findings=(*why, *found, *unknown))


def _verdict(question: Question, taken: Budget, highest: Budget, spent: Cost) -> str:
    sure = spent.tokens(taken.low, question.wish.concurrency) >= question.wanted and taken.spare >= 0
    if sure and taken.fraction <= HIGHEST:
        return "fits"
    starts = spent.tokens(highest.high, 1, hopeful=True) >= min(FEWEST_TOKENS, question.wanted)
    return "tight" if starts else "does not fit"


def refuses(question: Question, answer: Fit) -> bool:
    """The engine would not start: no pool at all; vLLM also where the pool cannot hold one request of full length."""
    holds = (
        answer.tokens if question.loaded.shape.known else answer.most
    )  # an unknown family is never refused by a guess
    short = question.engine.name not in ("sglang", "lmdeploy") and holds < answer.context
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
