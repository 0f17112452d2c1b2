# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of a log are evidence."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_reading import Read, is_trouble, read_log

ENGINE = "(EngineCore pid=7) "


def texts(*lines: str) -> list[str]:
    return [read.line.text for read in read_log(lines) if not read.over]


def exceptions(*lines: str) -> list[Read]:
    return [read for read in read_log(lines) if "Error" in read.line.text]


def test_the_code_of_a_traceback_is_no_evidence() -> None:
    assert texts(
        "Traceback (most recent call last):",
        '  File "a.py", line 3, in f',
        '    raise RuntimeError("Not enough memory")',
        "          ^^^^^^^^^^^^",
        "ValueError: no",
        "  Value error, a detail of pydantic",
    ) == ["Traceback (most recent call last):", "ValueError: no", "  Value error, a detail of pydantic"]


def test_tracebacks_of_several_processes_stand_between_each_other() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "a.py", line 3, in f',
        "    raise KeyError",
        "ValueError: one",
        "done",
    ]
    mixed = [f"({name} pid=1) {line}" for line in lines for name in ("a", "b")]
    assert texts(*mixed) == [lines[0], lines[0], lines[3], lines[3], lines[4], lines[4]]


def test_exceptions_that_come_from_others_are_marked_and_have_their_code() -> None:
    first, second = exceptions(
        "Traceback (most recent call last):",
        '  File "a.py", line 3, in f',
        "    assert a <= b",
        "AssertionError",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "b.py", line 4, in g',
        "    raise RuntimeError",
        "RuntimeError: it failed",
    )
    assert (first.chained, first.code) == (False, "assert a <= b")
    assert second.chained


def test_what_users_send_is_no_evidence() -> None:
    assert (
        texts(
            "(API pid=1) INFO 08-19 15:00:01 [logger.py:71] Received request c-1: prompt: 'CUDA out of memory'",
            "(APIServer pid=1) INFO 08-19 15:00:01 [logger.py:90] Generated response c-1: output: 'Address already in use'",
            "[2026-05-01 10:10:00] Receive: obj=GenerateReqInput(text='No space left on device')",
            "[2026-05-01 10:10:00] Finish: obj=GenerateReqInput(rid='1'), out={'text': 'PermissionError: [Errno 13]'}",
            'INFO:     192.0.2.1:53732 - "POST /v1/chat/completions HTTP/1.1" 400 Bad Request',
        )
        == []
    )


def test_a_process_that_came_further_has_survived_what_it_wrote_before() -> None:
    trouble, further = (
        f"{ENGINE}ERROR 08-19 14:58:31 [a.py:1] Address already in use",
        f"{ENGINE}Available KV cache memory: 1 GiB",
    )
    assert texts(trouble, further) == []
    assert texts(trouble, "(Worker pid=9) Available KV cache memory: 1 GiB")[0] == "Address already in use"
    assert texts(further, trouble) == ["Address already in use"]
    assert texts(trouble, "INFO:     Application startup complete.") == []
    assert texts(trouble, 'INFO:     192.0.2.1:5 - "POST /v1/completions HTTP/1.1" 200 OK') == []


def test_what_reports_that_something_failed() -> None:
    def trouble(line: str) -> bool:
        return is_trouble(read_log([line])[0].line)

    assert (
        trouble("ValueError: no")
        and trouble("ERROR 08-19 14:58:31 [a.py:1] no")
        and trouble("docker: Error response from daemon: x")
    )
    assert (
        not trouble("WARNING 08-19 14:58:31 [a.py:1] no") and not trouble("loading") and not trouble("UserWarning: no")
    )
