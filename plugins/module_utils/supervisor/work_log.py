# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of work in what an engine has logged: for when its metrics show none. Pure; private to this collection.

SGLang logs each prefill batch and each 40th decode batch (``--decode-log-interval``), in metrics.log_prefill_stats and
log_decode_stats (sglang/srt/managers/scheduler.py, 0.4.3.post2; scheduler_metrics_mixin.py, 0.5.6; scheduler_components, 0.5.23);
vLLM logs the mean of each ten seconds (vllm/v1/metrics/loggers.py, 0.32.0), also while nothing moves, and then it is 0. A line
counts from its beginning: what clients send may be logged too, and is no sign.
"""

from __future__ import annotations

import re

_BATCH = re.compile(r"^\[[^\]]*\] (?:Prefill|Decode) batch\b", re.MULTILINE)
_MEAN = re.compile(
    r"^(?:\([^)]*\) )?(?:INFO \S+ \S+ )?\[?\w+\.py:\d+\] (?:Engine \d+: )?Avg prompt throughput: ([0-9.]+) tokens/s, "
    r"Avg generation throughput: ([0-9.]+) tokens/s",
    re.MULTILINE,
)


def works(lines: str) -> bool:
    """Whether an engine that has logged these lines has worked."""
    return bool(_BATCH.search(lines)) or any(float(mean) for found in _MEAN.findall(lines) for mean in found)
