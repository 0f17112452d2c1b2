# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LMDeploy's KV pool, PyTorch backend: a share of what is free after the weights and a reserve for logits.

Sources: ``cache_max_entry_count`` in lmdeploy/messages.py, the reserve in lmdeploy/pytorch/engine/executor/base.py
(``_get_runtime_size``). No published log was compared.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import (
    Budget,
    Load,
    Part,
    larger_by,
    of_weights,
    smaller_by,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import GIB, line, whole

PREFILL, BATCH = 8192, 256
DEFAULT_FRACTION = 0.8
GROUP_NVLINK, GROUP_PCIE = 2 * GIB, GIB // 2


def budget(which: Engine, load: Load, fraction: float) -> Budget:
    """Divide one GPU's memory."""
    fraction = fraction or DEFAULT_FRACTION
    prefill = whole(which.args.get("max_prefill_token_num")) or PREFILL
    sequences = whole(which.args.get("max_batch_size")) or BATCH
    logits = 2 * (prefill + 2 * sequences) * load.shape.vocab
    group = (GROUP_NVLINK if load.card.nvlink else GROUP_PCIE) if load.group else 0
    runtime = load.outside + group
    free = load.card.visible - load.weights - runtime - logits
    kv = int(free * fraction)
    parts = [of_weights(load), Part(logits, logits // 2, logits // 2), Part(runtime, GIB, GIB // 2)]
    return Budget(
        fraction=fraction,
        kv=kv,
        overhead=load.card.total - load.weights - max(kv, 0),
        arithmetic=[
            line(
                "memory that CUDA sees",
                f"{load.card.memory_mib} - {load.card.reserved_mib} MiB",
                load.card.visible,
                "bytes",
            ),
            line("reserve for logits", f"2 x ({prefill} + 2 x {sequences}) x {load.shape.vocab}", logits, "bytes"),
            line("free after loading", f"{load.card.visible} - {load.weights} - {runtime} - {logits}", free, "bytes"),
            line("KV pool on one GPU", f"{free} x {fraction:g}", kv, "bytes"),
        ],
        below=int(smaller_by(parts) * fraction),
        above=int(larger_by(parts) * fraction),
        spare=int(free * (1 - fraction)),
    )
