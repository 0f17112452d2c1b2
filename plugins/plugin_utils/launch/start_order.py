# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the ranks of a launch start, and by which port the head is seen to be alive (decisions/136).

Ray wants an order: a node joins a head that is there, and many that join at once can fail (ray issue 59778). Ranks of other
engines wait for each other, each for minutes, and which of them comes first does not matter:

- vLLM, tensor and pipeline parallel: torch's store on --master-port, opened by rank 0 alone
  (vllm/distributed/parallel_state.py, 0.32.0; --nnodes from 0.11.1 on). Either of two ranks 60 s before the other: both wait.
- vLLM, data parallel: the head listens on --data-parallel-rpc-port from before it loads until the engines of all nodes are
  loaded (launch_core_engines in vllm/v1/engine/utils.py, 0.32.0); those of other nodes ask there for five minutes
  (HANDSHAKE_TIMEOUT_MINS in vllm/v1/engine/core.py). On --master-port an MoE model's head listens only after all others have
  come, a dense one's never, for its copies are independent (reconfigure_for_independent_dp_rank in vllm/config/parallel.py,
  0.32.0).
- SGLang: torch's store on --dist-init-addr, by rank 0 (sglang/srt/distributed/parallel_state.py). With DP attention the head
  waits for all others before, and only then opens the store: from 0.5.3.post2 to 0.5.5 by a handshake on that same port, from
  0.5.5.post1 on by one 13 ports above (DP_ATTENTION_HANDSHAKE_PORT_DELTA in sglang/srt/server_args.py,
  _broadcast_worker_ports in sglang/srt/managers/data_parallel_controller.py; read in 0.5.3.post2 to 0.5.23). The others ask
  for ten minutes. Before that there is no such handshake. Its port can be closed again before anybody looks at it; the
  store's stays open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.ports import DATA_PARALLEL
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel


def start_order(request: Request, call: Call, sizes: Parallel, values: Mapping[str, Any]) -> dict[str, Any]:
    """``together``: whether all other ranks start as soon as the head's process runs; otherwise one after the other, the first
    when the head listens. ``port``: at which it listens before the endpoint answers; 0 where it is not known to.

    values: options of the engine's command line, by name in snake case.
    """
    if request.executor == "ray" or request.engine == "ray":
        return {"together": False, "port": call.rendezvous_port or 0}
    port = call.rendezvous_port or 0
    if request.engine == "vllm" and sizes.splits_copies:
        port = int(values.get("data_parallel_rpc_port") or DATA_PARALLEL)
    return {"together": True, "port": port}
