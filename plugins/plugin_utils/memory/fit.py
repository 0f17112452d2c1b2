# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a model fit on these GPUs, with this engine and these sizes? The sum of the other memory modules.

The verdict:

* ``fits``: at the engine's fraction the KV pool holds ``max_concurrency`` requests of ``context_length`` tokens.
* ``tight``: the engine can start, but with a shorter context, fewer requests or a higher fraction.
* ``does not fit``: not even 2048 tokens beside the weights at the highest fraction that we would propose (0.95), or at
  the one that was set.
* ``unknown``: the model's or the GPU's size is not known; the findings name what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import (
    CONTEXT,
    FRACTION,
    HIGHEST,
    Budget,
    Engine,
    Load,
    budget,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import Gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_cache import (
    element_bytes,
    kv_per_token,
    kv_per_token_per_gpu,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import capability_findings, divisibility
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import GIB, MIB, Line, line
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
    context: int = 0
    arithmetic: tuple[Line, ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: bool = False
    """Whatever the memory: the engine would not build the model with these sizes on these GPUs."""


def fit(question: Question, sizes: Parallel, cost_of_16_bit: str = "") -> Fit:
    """Answer ``question`` for ``sizes``; ``cost_of_16_bit`` goes into the remedy when the GPUs lack FP8."""
    shape = question.loaded.shape
    found = [
        *divisibility(shape, sizes),
        *capability_findings(shape, question.gpu, question.engine, cost_of_16_bit),
    ]
    refused = any(one["severity"] == "fail" for one in found)
    if not question.answerable:
        return Fit("unknown", findings=tuple(found), refused=refused)
    held, extra, lines = per_gpu(question.loaded, sizes)
    width, unknown = element_bytes(question.wish.kv_dtype or question.engine.kv_dtype, shape)
    per_token, more = kv_per_token_per_gpu(shape, sizes, width)
    load = Load(question.gpu.memory_mib, held, shape, sizes)
    taken = budget(question.engine, load)
    most = taken if question.engine.fraction else budget(question.engine, load, max(HIGHEST, taken.fraction))
    tokens = _tokens(taken, per_token)
    wanted = question.context * question.wish.concurrency
    if tokens >= wanted:
        verdict = "fits"
    elif _tokens(most, per_token) >= min(FEWEST_TOKENS, wanted):
        verdict = "tight"
    else:
        verdict = "does not fit"
    in_pool = line("tokens that fit", f"{max(0, taken.kv)} / {per_token}", tokens, "tokens")
    answer = Fit(
        verdict,
        weights=held,
        replicated=extra,
        kv_per_token=kv_per_token(shape, width),
        kv_per_token_per_gpu=per_token,
        budget=taken,
        tokens=tokens,
        context=question.context,
        refused=refused,
        arithmetic=(*question.loaded.arithmetic, *lines, *taken.arithmetic, *more, in_pool),
    )
    why = _verdict_findings(question, answer, most, wanted)
    return replace(answer, findings=(*why, *found, *unknown))


def _tokens(taken: Budget, per_token: int) -> int:
    return max(0, taken.kv) // per_token if per_token else (0 if taken.kv <= 0 else 10**9)


def _verdict_findings(question: Question, answer: Fit, most: Budget, wanted: int) -> list[Finding]:
    """Why the verdict is not ``fits``, and what to write instead."""
    if answer.verdict == "fits":
        return []
    engine, per_token = question.engine, answer.kv_per_token_per_gpu
    option = FRACTION.get(engine.name, "gpu_memory_utilization")
    where = f"engine_args.{option}"
    memory = human.binary(question.gpu.memory_mib * MIB)
    room = f"weights take {human.binary(answer.weights)} of {memory} on each {question.gpu.name}"
    if answer.verdict == "does not fit":
        beside = f"{human.binary(most.kv)} are left" if most.kv >= 0 else f"{human.binary(-most.kv)} are missing"
        message = f"{room}; {beside} at {option} {most.fraction:g}"
        remedy = "more GPUs per replica, larger GPUs or a smaller (quantized) checkpoint"
        return [finding("fail", "does-not-fit", "parallel", message, remedy)]
    ways = []
    if _tokens(most, per_token) > answer.tokens:
        ways.append(f"{option}: {most.fraction:g} (then {_tokens(most, per_token)} tokens fit)")
    if answer.tokens >= FEWEST_TOKENS:
        shorter = f"{CONTEXT.get(engine.name, 'context_length')}: {min(answer.tokens, answer.context) // 1024 * 1024}"
        ways.append(shorter if answer.tokens < answer.context else "fewer requests at the same time")
    if answer.kv_per_token and answer.budget.kv < GIB:
        ways.append("more GPUs")
    message = f"{room}; {answer.tokens} tokens fit, {wanted} are wanted"
    # vLLM refuses to start when its pool cannot hold one request of full length; SGLang and LMDeploy start
    severity = "fail" if engine.name == "vllm" and answer.tokens < answer.context else "warn"
    return [finding(severity, "tight", where, message, "; or ".join(ways) or "more GPUs")]
