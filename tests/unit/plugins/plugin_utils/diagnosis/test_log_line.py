# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in front of a line, and what it shows."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_line import Line, read


@pytest.mark.parametrize(
    ("raw", "level", "process", "text"),
    [
        ("ValueError: no", "", "", "ValueError: no"),
        ("1795377378.123456 n1 vllm[7]: ValueError: no", "", "", "ValueError: no"),
        ("Nov 22 19:54:22 n1 vllm[7]: ValueError: no", "", "", "ValueError: no"),
        ("2026-11-22T19:54:22+0000 n1 vllm[7]: ValueError: no", "", "", "ValueError: no"),
        ("vllm-1  | ERROR 11-18 18:07:28 engine.py:366] no", "error", "", "no"),
        ("2025-02-27T16:30:43.48675097Z [rank3]: ValueError: no", "", "rank3", "ValueError: no"),
        ("(Core_DP0 pid=5) ERROR 11-24 08:50:34 [core.py:842]   File \"a.py\"", "error", "Core_DP0 pid=5", "  File \"a.py\""),
        ("(Core pid=5) (Ray pid=8, ip=192.0.2.2) INFO 11-24 08:50:34 [a.py:8] go", "info", "Ray pid=8, ip=192.0.2.2", "go"),
        ("(autoscaler +13s) Error: No available node types", "warning", "autoscaler +13s", "Error: No available node types"),
        ("[2026-05-01 10:10:00 DP0 TP0] Load weight begin.", "", "DP0 TP0", "Load weight begin."),
        ("[2026-05-01 10:10:00] bad, falling back to eager", "warning", "", "bad, falling back to eager"),
        ("[rank3]:[E227 16:30:43.526290891 ProcessGroupNCCL.cpp:1785] timeout", "error", "rank3", "timeout"),
        ("[W1122 18:00:01.123 socket.cpp:767] [c10d] hm", "warning", "", "hm"),
        ("E0717 07:30:06.719633  994396 ucx_utils.cpp:537] failed", "error", "", "failed"),
        ("2026-04-01 10:00:00,123 - WARNING - autotuner.py:436 - flashinfer.jit: x", "warning", "", "flashinfer.jit: x"),
        ("2026-04-01 10:00:00,123 - lmdeploy - ERROR - base.py:55 - x", "error", "", "x"),
        ("2026-04-01 10:00:00,123\tERROR services.py:1329 -- x", "error", "", "x"),
        ("2025-11-25 02:39:46 NIXL INFO    _api.py:361 x", "info", "", "x"),
        ("[2026-05-01 10:10:00,123 E 57 57] (raylet) node.cc:12: x", "error", "", "x"),
        ("n1:100:220 [1] misc/socket.cc:533 NCCL WARN x", "error", "", "misc/socket.cc:533 NCCL WARN x"),
        ("[2025-07-21 19:05:29] n1:100:220 [1] NCCL INFO x", "info", "", "NCCL INFO x"),
        ("[1784273406.684686] [n1:9:0]      ib_mlx5_dv.c:452  UCX  ERROR   x", "error", "", "UCX  ERROR   x"),
        ("[Sep 08 2025 23:21:50] [ERROR] [tid 9] x", "error", "", "x"),
        ("INFO:     Application startup complete.", "info", "", "Application startup complete."),
        ("2025-05-16T04:56:18.119Z ERROR engine.run_mp_engine: x", "error", "", "engine.run_mp_engine: x"),
        ("[   49.261458] NVRM: x", "", "", "NVRM: x"),
        ("[TM][WARNING] x", "warning", "", "[TM][WARNING] x"),
        ("time=\"2026\" level=error msg=\"x\"", "error", "", "time=\"2026\" level=error msg=\"x\""),
        ("UserWarning: x", "warning", "", "UserWarning: x"),
        ("ValueError: retrying does not help", "", "", "ValueError: retrying does not help"),
    ],
)  # fmt: skip
def test_the_parts_of_a_line(raw: str, level: str, process: str, text: str) -> None:
    line = read(raw)
    assert (line.level, line.process, line.text) == (level, process, text)


def test_a_line_is_quoted_with_the_engines_part_and_without_the_journals() -> None:
    line = read("1795377378.123456 n1 vllm[7]: \x1b[31m(Worker pid=7) ERROR 11-24 08:50:34 [a.py:8] no\x1b[0m\r\n", 3)
    assert line == Line(
        3, 1795377378.123456, "error", "Worker pid=7", "no", "(Worker pid=7) ERROR 11-24 08:50:34 [a.py:8] no"
    )


def test_the_time_of_a_line_is_the_journals_or_the_engines_own() -> None:
    early, late = read("[2026-05-01 10:10:00 TP0] x").time, read("ERROR 05-01 10:10:01 [a.py:1] x").time
    assert early is not None and late is not None and late - early == 1
    torch = read("[rank3]:[E501 10:10:02.526 a.cpp:1] x").time
    assert torch is not None and torch - late == 1
    assert read("x").time is None and read("ERROR 13-41 10:10:01 [a.py:1] x").time is None
