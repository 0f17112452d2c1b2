# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SGLang is measured by its own client, out of its own environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

KEY = "sk-sglang-0123456789abcdef"
BRIEF = {"benchmark_requests": 4, "benchmark_prompt_words": 8, "benchmark_output_tokens": 8}


def test_every_request_of_its_benchmark_is_answered(play: Callable[..., Any], tmp_path: Path) -> None:
    levels = {"benchmark_concurrency": [1, 2], "benchmark_repeats": 1}
    run = play("playbooks/benchmark.yml", benchmark_directory=str(tmp_path), **BRIEF, **levels)
    assert run.rc == 0
    (result,) = run.outcome["benchmark"]
    assert (result["engine"], result["client"]) == ("sglang 0.5.23", "sglang")
    assert [(one["concurrency"], one["completed"], one["output_tokens"]) for one in result["runs"]] == [
        (1, 4, 32),
        (2, 4, 32),
    ]
    # the client's own file holds the server's options, the key among them
    assert KEY not in run.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".md", ".svg"}
    assert not [path for path in files if KEY in path.read_text(errors="replace")]
