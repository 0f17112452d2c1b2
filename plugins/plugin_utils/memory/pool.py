# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine's division of a GPU's memory has in common: what lies on the GPU, and what is left, with an interval.

Each part of the arithmetic may be larger or smaller than computed. The parts err independently, so their errors add by
squares. How far each part errs was seen on published logs (tests/unit/data/memory_logs.yml).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import hypot

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import Gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import GIB, Line, number, whole

CONTEXT_ALONE = GIB // 2
"""CUDA context of one process: 0.41 to 0.63 GiB between total and free memory in vLLM's logs."""
UNIFIED_SYSTEM = 9 * GIB
"""What the system holds of a memory that it shares with the GPU: 7.1 to 10.5 GiB in four logs of GB10."""
WEIGHTS_ERROR = 0.02
"""The weights per GPU differ from the logs' by so much: padding, buffers of layers, tensors that are not cut."""


@dataclass(frozen=True)
class Load:
    """What lies on the fullest GPU of a deployment."""

    card: Gpu
    weights: int
    """Bytes, replicated part included."""
    shape: Architecture
    sizes: Parallel
    context: int = 0
    """Tokens of one request."""

    @property
    def group(self) -> bool:
        """More than one GPU exchanges data: NCCL takes memory."""
        return self.sizes.gpus > 1

    @property
    def outside(self) -> int:
        """Bytes that are gone before the engine allocates anything."""
        return UNIFIED_SYSTEM if self.card.unified else CONTEXT_ALONE


@dataclass(frozen=True)
class Part:
    """One part of the memory: bytes as computed, and how many bytes it may be above or below that."""

    size: int
    above: int = 0
    below: int = 0


@dataclass(frozen=True)
class Budget:
    """One GPU's memory as the engine divides it. Bytes."""

    fraction: float
    kv: int
    """What is left for the KV pool; negative when the weights alone are too large."""
    overhead: int
    """What is neither weights nor KV."""
    arithmetic: list[Line] = field(default_factory=list)
    below: int = 0
    """By how much the pool may be smaller."""
    above: int = 0
    """By how much the pool may be larger."""
    spare: int = 0
    """What is left of the GPU outside the fraction, at worst, when the engine runs; negative where it may run out of memory."""

    @property
    def low(self) -> int:
        """The pool at the lower end of the interval."""
        return self.kv - self.below

    @property
    def high(self) -> int:
        """The pool at the upper end of the interval."""
        return self.kv + self.above


def smaller_by(parts: Iterable[Part]) -> int:
    """How much smaller the rest may be: by the errors above of all parts together."""
    return int(hypot(*(part.above for part in parts)))


def larger_by(parts: Iterable[Part]) -> int:
    """How much larger the rest may be."""
    return int(hypot(*(part.below for part in parts)))


def of_weights(load: Load) -> Part:
    """The weights with their error."""
    return Part(load.weights, int(load.weights * WEIGHTS_ERROR), int(load.weights * WEIGHTS_ERROR))


def set_size(value: object) -> int:
    """Bytes of an option that sets the pool's size; 0 where it is unset or no number."""
    return whole(value) if number(value) else 0
