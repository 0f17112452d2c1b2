# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What LMDeploy takes of a GPU beside weights and KV."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Load
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool_lmdeploy import budget


def test_a_share_of_what_is_free() -> None:
    load = Load(gpu({"gpu": "H200"}), 80 * 1024**3, Architecture(layers=61, hidden=7168, vocab=129280), Parallel(tp=8))
    taken = budget(engine("lmdeploy"), load, 0.0)
    free = next(one["value"] for one in taken.arithmetic if one["label"] == "free after loading")
    assert taken.kv == int(free * 0.8) and taken.low < taken.kv < taken.high
    assert budget(engine("lmdeploy", None, {"max_batch_size": 2048}), load, 0.0).kv < taken.kv
