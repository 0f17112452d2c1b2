# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line that tells most of a failure that the table does not know."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import failures, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.telling import Telling, telling

CORE = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
EXITED = [
    "fullrank-rank@a.service: Main process exited, code=exited, status=1/FAILURE",
    "fullrank-rank@a.service: Failed with result 'exit-code'.",
]
TRACE = ["Traceback (most recent call last):", '  File "a.py", line 3, in f', "    x = y"]


def text(*lines: str) -> str:
    found = telling(lines)
    return found.text if found else ""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["docker: Error response from daemon: the moon is full.", *EXITED],
            "docker: Error response from daemon: the moon is full.",
        ),
        (
            ["/b/mem.cpp:9: non-zero status: 7 the moon is full", "RuntimeError: it failed", *EXITED],
            "/b/mem.cpp:9: non-zero status: 7 the moon is full",
        ),
        ([*TRACE, "OSError: the moon is full", CORE, *EXITED], "OSError: the moon is full"),
        ([CORE, *EXITED], CORE),
        (EXITED, EXITED[1]),
        (
            [
                "Traceback (most recent call last):",
                '  File "a.py", line 3, in f',
                "    assert moon < 1",
                "AssertionError",
                CORE,
            ],
            "AssertionError: assert moon < 1",
        ),
        (
            ["pydantic_core.ValidationError: 1 validation error for ModelConfig", "  Value error, the moon is full"],
            "pydantic_core.ValidationError: 1 validation error for ModelConfig: Value error, the moon is full",
        ),
        (
            [
                "KeyError: 'moon'",
                "During handling of the above exception, another exception occurred:",
                "ValueError: the moon is full",
            ],
            "ValueError: the moon is full",
        ),
        (["KeyError: 'moon'", CORE], "KeyError: 'moon'"),
        (
            [
                "ray.exceptions.RayTaskError(ValueError): ray::Worker.run() (pid=1, ip=192.0.2.1)",
                '  File "a.py", line 3, in f',
                "ValueError: the moon is full",
            ],
            "ValueError: the moon is full",
        ),
        (
            ["WARNING 08-19 14:58:31 [a.py:1] ValueError: not this", "ERROR 08-19 14:58:31 [a.py:1] this"],
            "ERROR 08-19 14:58:31 [a.py:1] this",
        ),
        (["ValueError: over", "Application startup complete.", "ValueError: now"], "ValueError: now"),
        (
            ["n1:1:2 [0] a.cc:1 NCCL WARN the moon is full", "RuntimeError: NCCL error"],
            "n1:1:2 [0] a.cc:1 NCCL WARN the moon is full",
        ),
        (["loading", "done"], ""),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_the_line_that_tells_most(lines: list[str], expected: str) -> None:
    assert text(*lines) == expected


def test_rank_1_of_two_whose_head_only_lost_it() -> None:
    """As vLLM 0.32 wrote it over two nodes: the head's engine process ended, rank 1 had the AssertionError."""
    head = ["(EngineCore pid=7) ERROR 11-22 23:25:03 [core.py:1510] EngineCore failed to start.", CORE, *EXITED]
    other = [
        "(Worker_TP1 pid=9) ERROR 11-22 23:25:01 [multiproc_executor.py:953] AssertionError: the moon is full",
        *EXITED,
    ]
    signatures = tables.failures()
    errors = {rank: failures.most_telling(signatures, log) for rank, log in enumerate((head, other))}
    assert failures.first_to_fail(errors) == 1
    assert failures.error_line(errors, ["n1", "n2"]).endswith("AssertionError: the moon is full")
    assert failures.error_line({0: errors[0]}, ["n1"]).endswith("EngineCore failed to start.")
    assert failures.error_line({0: None}, ["n1"]) == "" and failures.first_to_fail({0: None}) is None


def test_the_first_rank_is_the_first_in_time_where_all_have_one() -> None:
    def error(time: float | None, weight: int = 0) -> Telling:
        return Telling("x", weight, time, 0)

    assert failures.first_to_fail({0: error(5.0), 1: error(4.0)}) == 1
    assert failures.first_to_fail({0: error(5.0), 1: error(None)}) == 0
    assert failures.first_to_fail({0: error(3.0, 4), 1: error(4.0)}) == 1
