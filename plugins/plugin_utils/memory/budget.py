# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One GPU's memory as its engine divides it. An engine that is not known is counted like vLLM."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory import pool_lmdeploy, pool_sglang, pool_vllm
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Budget, Load

RULES = {"sglang": pool_sglang.budget, "lmdeploy": pool_lmdeploy.budget}


def budget(which: Engine, load: Load, fraction: float = 0.0) -> Budget:
    """Divide one GPU's memory; ``fraction`` overrules what was set for the engine."""
    return RULES.get(which.name, pool_vllm.budget)(which, load, fraction or which.fraction)
