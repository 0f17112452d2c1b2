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
from dataclasses import dataclass, replace

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.fit import Fit, Question, fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallel import Parallel

CUT_TOO_SMALL = ("fp8-block-indivisible", "group-indivisible")
MOST_NODES = 64
"""How far to look for a number of nodes that would do."""


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


def shapes(question: Question, nodes: Nodes, gpus: int) -> Iterator[Parallel]:
    """Sizes for one replica of ``gpus`` GPUs, best first."""
    domain = min(nodes.nvlink, gpus)
    wide = nodes.rdma and question.engine.name != "vllm"
    divisors = [tp for tp in range(gpus, 0, -1) if gpus % tp == 0]
    inside = [tp for tp in divisors if tp <= domain]
    outside = [tp for tp in divisors if tp > domain]
    for tp in outside[:1] + inside + outside[1:] if wide else inside + outside:
        stages = gpus // tp
        if stages == 1 or (stages <= question.loaded.shape.layers and question.engine.name != "lmdeploy"):
            yield Parallel(tp=tp, pp=stages)  # LMDeploy has no pipeline parallel


def tried(question: Question, nodes: Nodes, count: int) -> list[Choice]:
    """Choices for a replica of ``count`` nodes up to the first good one; parts of a node before the whole."""
    amounts = [count * nodes.gpus]
    if count == 1 and question.engine.name != "lmdeploy":
        amounts = [gpus for gpus in range(1, nodes.gpus + 1) if nodes.gpus % gpus == 0]
    choices: list[Choice] = []
    for gpus in amounts:
        for sizes in shapes(question, nodes, gpus):
            choices.append(Choice(count, sizes, fit(question, sizes)))
            if any(one["code"] in CUT_TOO_SMALL for one in choices[-1].fit.findings) and question.loaded.shape.experts:
                whole = replace(sizes, ep=sizes.tp)
                choices.append(Choice(count, whole, fit(question, whole)))
            if choices[-1].good and gpus < nodes.gpus:
                choices[-1] = _copied(question, choices[-1].sizes, nodes.gpus // gpus)
            if choices[-1].good:
                return choices
            if choices[-1].fit.verdict == "does not fit":
                break  # the same GPUs hold the same weights, however they are cut
    return choices


def _copied(question: Question, sizes: Parallel, copies: int) -> Choice:
    """A replica that needs a part of a node, as often as the node holds it."""
    filled = replace(sizes, dp=copies)
    if question.engine.name == "vllm" and question.loaded.shape.experts:
        filled = replace(filled, ep=sizes.tp * copies, experts_over_dp=True)
    return Choice(1, filled, fit(question, filled))


def smallest_nodes(question: Question, nodes: Nodes, start: int = 1) -> Choice | None:
    """The replica with the fewest of such nodes that fits; None when even 64 are too few."""
    for count in range(start, MOST_NODES + 1):
        last = tried(question, nodes, count)[-1:]
        if last and last[0].good:
            return last[0]
    return None
