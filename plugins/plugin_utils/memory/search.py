# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parallel sizes to try on so many nodes, in which order, and which of them is the first that fits.

Order of preference, and why:

* Tensor parallel over as many GPUs of one NVLink domain as there are: it exchanges data twice per layer and wants the
  fastest links.
* Over several nodes, SGLang: tensor parallel over all GPUs where there is RDMA, as its own guides for 2 x 8 and 4 x 8
  GPUs do (docs/references/multi_node.md); vLLM: tensor parallel inside a node, pipeline parallel across (its
  docs/serving/parallelism_scaling.md). Without RDMA always the latter: a pipeline sends little.
* Expert parallel only where tensor parallel would cut experts into shards that the quantization does not allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import gcd

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import FRACTION, Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.fit import Fit, Question, fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared, options_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

PROPOSED = frozenset(
    (
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "expert_parallel_size"),
        *("enable_expert_parallel", "tp", "dp", "ep"),
    )
)
"""Options that a proposal sets, whatever was set before."""

ATTENTION = ("enable_dp_attention", "attention_data_parallel_size")
"""Options with which a replica is not copied: SGLang has attention groups or copies, not both."""

CUT_TOO_SMALL = ("fp8-block-indivisible", "group-indivisible")
MOST_NODES = 64
"""How far to look for a number of nodes that would do."""
COUNTS = (*range(1, 17), *range(20, 33, 4), *range(40, MOST_NODES + 1, 8))
"""Numbers of nodes that are looked at when there are not enough."""


@dataclass(frozen=True)
class Nodes:
    """Equal nodes."""

    count: int
    gpus: int
    nvlink: int
    """GPUs of a node that NVLink or NVSwitch joins."""
    rdma: bool


@dataclass(frozen=True)
class Choice:
    """One set of sizes for one replica, with its answer."""

    nodes: int
    """Nodes of one replica."""
    sizes: Parallel
    fit: Fit

    @property
    def good(self) -> bool:
        """Fits, and the engine would build it."""
        return self.fit.verdict == "fits" and not self.fit.refused


def sized(question: Question, **sizes: int) -> Parallel:
    """The sizes of a proposal: its own, beside what else was set for the engine.

    Where attention data parallel is on, it has as many groups as were asked for, or as its tensor parallel size allows.
    """
    engine = question.engine
    others = {name: value for name, value in engine.args.items() if name not in PROPOSED}
    if engine.args.get("enable_dp_attention"):
        groups = parallel(engine.name, engine.release, engine.args).attention_dp
        sizes = {**sizes, "dp": gcd(max(groups, 1), sizes["tp"])}
    return declared(engine.name, engine.release, sizes, others)


def shapes(question: Question, nodes: Nodes, gpus: int) -> Iterator[dict[str, int]]:
    """``tp`` and ``pp`` for one replica of ``gpus`` GPUs, best first."""
    groups = sized(question, tp=1).pcp  # prefill context parallel that was set takes GPUs of its own
    if gpus % groups:
        return
    gpus //= groups
    domain = min(nodes.nvlink, gpus)
    wide = nodes.rdma and question.engine.name != "vllm"
    divisors = [tp for tp in range(gpus, 0, -1) if gpus % tp == 0]
    if question.engine.name == "lmdeploy":
        divisors = [tp for tp in divisors if tp & (tp - 1) == 0]  # lmdeploy/cli/utils.py: "should be 2^n"
    inside = [tp for tp in divisors if tp <= domain]
    outside = [tp for tp in divisors if tp > domain]
    for tp in outside[:1] + inside + outside[1:] if wide else inside + outside:
        stages = gpus // tp
        # LMDeploy has no pipeline parallel, and SGLang none before 0.4.6.post2
        staged = question.engine.name != "lmdeploy" and can(question.engine, pp=stages)
        if stages == 1 or (stages <= question.loaded.shape.layers and staged):
            yield {"tp": tp, "pp": stages}


def tried(question: Question, nodes: Nodes, count: int) -> list[Choice]:
    """Choices for a replica of ``count`` nodes up to the first good one; parts of a node before the whole."""
    amounts = [count * nodes.gpus]
    if count == 1 and question.engine.name != "lmdeploy" and not any(map(question.engine.args.get, ATTENTION)):
        amounts = [gpus for gpus in range(1, nodes.gpus + 1) if nodes.gpus % gpus == 0]
    choices: list[Choice] = []
    for gpus in amounts:
        for plain in shapes(question, nodes, gpus):
            sizes = plain
            choices.append(_choice(question, count, sizes))
            cut = any(one["code"] in CUT_TOO_SMALL for one in choices[-1].fit.findings)
            if cut and question.loaded.shape.experts and can(question.engine, ep=plain["tp"]):
                sizes = {**plain, "ep": plain["tp"]}
                choices.append(_choice(question, count, sizes))
            if choices[-1].good and gpus < nodes.gpus and can(question.engine, dp=nodes.gpus // gpus):
                choices[-1] = _copied(question, sizes, nodes.gpus // gpus)
            if choices[-1].good:
                return choices
            if choices[-1].fit.verdict == "does not fit":
                break  # the same GPUs hold the same weights, however they are cut
    return choices


def can(engine: Engine, **sizes: int) -> bool:
    """Whether this version of the engine has options for these sizes: vLLM has data parallel copies from 0.8 on."""
    return engine.name not in FRACTION or _options(engine.name, engine.release).issuperset(
        options_of(engine.name, sizes)
    )


@cache
def _options(name: str, release: str) -> frozenset[str]:
    """Those options for sizes that this release knows."""
    catalog = read_catalog(name)
    known = catalog.at(release or catalog.versions[-1])
    return frozenset(option for option in PROPOSED if known.lookup(option))


def _choice(question: Question, nodes: int, sizes: dict[str, int]) -> Choice:
    taken = sized(question, **sizes)
    return Choice(nodes, taken, fit(question, taken))


def _copied(question: Question, sizes: dict[str, int], copies: int) -> Choice:
    """A replica that needs a part of a node, as often as the node holds it."""
    filled = {**sizes, "dp": copies}
    if question.engine.name == "vllm" and question.loaded.shape.experts:
        filled["ep"] = sizes["tp"] * copies
    return _choice(question, 1, filled)


def smallest_nodes(question: Question, nodes: Nodes, start: int = 1) -> Choice | None:
    """The replica with the fewest of such nodes that fits; None when even 64 are too few. Above 16 nodes in steps."""
    least = question.loaded.total // max(1, nodes.gpus * question.gpu.visible)  # the weights alone fill so many
    for count in COUNTS:
        if count < max(start, least):
            continue
        last = tried(question, nodes, count)[-1:]
        if last and last[0].good:
            return last[0]
    return None
