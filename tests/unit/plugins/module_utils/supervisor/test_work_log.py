# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of an engine's log show that it works."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.work_log import works

VLLM = "(APIServer pid=1) INFO 12-01 10:12:10 [loggers.py:282] Engine 000: Avg prompt throughput: {} tokens/s, Avg generation "
VLLM_0_8 = "INFO 03-04 10:11:12 [loggers.py:87] Engine 000: Avg prompt throughput: {} tokens/s, Avg generation "
VLLM_0_7 = "INFO 03-04 10:11:12 metrics.py:455] Avg prompt throughput: {} tokens/s, Avg generation "
REST = "throughput: {} tokens/s, Running: 4 reqs, Waiting: 9 reqs, GPU KV cache usage: 12.5%"


@pytest.mark.parametrize(
    "line",
    [
        # sglang/srt/managers/scheduler.py, 0.4.3.post2, in SGLang's own format and in that of its logging configuration
        "[2025-03-01 10:00:00 TP0] Decode batch. #running-req: 9, #token: 3141, token usage: 0.04, gen throughput: 31.4",
        "[2025-03-01 10:00:00] Prefill batch. #new-seq: 1, #new-token: 2048, #cached-token: 0, cache hit rate: 0.00%",
        # scheduler_metrics_mixin.py, 0.5.4 and 0.5.6
        "[2025-11-01 10:00:00 DP0 TP0 EP0] Decode batch [40], #running-req: 9, #token: 3141, token usage: 0.04,",
        "[2025-12-01 10:00:00] Decode batch, #running-req: 2, #token: 93, token usage: 0.02, cpu graph: False,",
        (VLLM + REST).format("0.0", "12.4"),
        (VLLM + REST).format("812.0", "0.0"),
        (VLLM_0_8 + REST).format("0.0", "0.1"),
        (VLLM_0_7 + REST).format("0.0", "5.0"),
    ],
)
def test_a_batch_is_a_sign_of_work(line: str) -> None:
    assert works(f"something else\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "",
        # requests stand, and the mean is logged all the same
        (VLLM + REST).format("0.0", "0.0"),
        (VLLM_0_7 + REST).format("0.0", "0.0"),
        'INFO:     127.0.0.1:55632 - "POST /v1/completions HTTP/1.1" 200 OK',
        # what a client has sent
        "INFO 12-01 10:12:10 [logger.py:41] Received request x: prompt: '[2025-12-01 10:00:00] Decode batch, #running-req: 2'",
        "[2025-12-01 10:00:00] Receive: obj=GenerateReqInput(text='Decode batch, Avg generation throughput: 9.0 tokens/s')",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert not works(f"something else\n{line}\n")
