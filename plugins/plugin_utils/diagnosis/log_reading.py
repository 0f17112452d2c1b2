# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of a rank's log are evidence of a failure. Pure; private to this collection.

No evidence are: what a rank writes while it is being stopped, what users sent to the engine, and the code that a traceback
quotes. What a process wrote before it came further, and all that was written before the engine
answered, is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import log_line
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_line import EXCEPTION, Line

# systemd's lines when it stops or starts a unit of ours
_STOPPED_BY_US = re.compile(r"^Stopping fullrank-")
_STARTED_BY_US = re.compile(r"^Start(?:ing|ed) fullrank-")

# vLLM --enable-log-requests and --enable-log-outputs, SGLang --log-requests, LMDeploy; and what clients are answered
_REQUEST = re.compile(
    r"^(?:Received request |Generated response |Receive: |Finish: |session_id=\S{0,40} prompt=|input_prompt=)"
    r"|^\S+ - \"(?:GET|POST|PUT|DELETE|HEAD|OPTIONS) |\bprompt: ['\"]|\binput_text=['\"]"
)

# The engine answers: nothing that it wrote before has stopped it. uvicorn; sglang 0.5.23, entrypoints/http_server.py
_READY = re.compile(
    r"^Application startup complete|The server is fired up and ready to roll|"
    r"\"(?:POST /\S{0,80}|GET /(?:health|health_generate|v1/models|get_model_info)) HTTP/[\d.]+\" 200"
)
# A process has come further. vllm 0.32, v1/worker/gpu_model_runner.py, v1/core/kv_cache_utils.py, v1/engine/core.py;
# sglang 0.5.23, model_executor/model_runner.py; lmdeploy 0.18, pytorch/engine/executor/base.py
_FURTHER = re.compile(
    r"rank \d+ in world size \d+ is assigned as|^Starting to load model|Model loading took|Loading (?:model )?weights took|"
    r"Available KV cache memory|KV cache size: [\d,]+ tokens|init engine \(profile|Graph capturing finished|"
    r"^Load weight (?:begin|end)|KV Cache is allocated|^max_total_num_tokens=|^Capture cuda graph end|Memory pool end"
)

_CHAINED = re.compile(
    r"^(?:During handling of the above exception|The above exception was the direct cause of the following exception)"
)
# a traceback that ends nothing: of an object that is taken down, of one request
_PASSING = re.compile(r"^Exception ignored in|^Exception in ASGI application")
_TRACEBACK = re.compile(r"^\s*(?:\w[\w ]{0,40}: )?Traceback \(most recent call last\)")
_FRAME = re.compile(r"^\s+File \".*\", line \d+")
_MARK = re.compile(r"^\s*[\^~]+\s*$")

# The program, or who started it, shows that something failed; or a rank waits for another one (vLLM's heartbeat)
_TROUBLE = re.compile(
    r"^Traceback |^ *Value error, |^terminate called|Segmentation fault|core dumped|Fatal Python error|: error: |^error: |"
    r"^docker: |Error response from daemon|Main process exited|Failed with result|Failed at step|Unable to start|^Killed$|"
    r"No available shared memory broadcast block|non-zero status"
)


@dataclass(frozen=True)
class Read:
    """A line that counts. chained: it is an exception that came from another one of the same traceback. code: what raised an
    exception. over: the process came further afterwards."""

    line: Line
    chained: bool = False
    code: str = ""
    over: bool = False


def read_log(lines: Iterable[str]) -> list[Read]:
    """The lines that count, in their order."""
    found = [read for read in _without_code(_own_doing(lines)) if read.line.text.strip()]
    ready = max((read.line.number for read in found if _READY.search(read.line.text)), default=-1)
    further = {read.line.process: read.line.number for read in found if _FURTHER.search(read.line.text)}
    return [
        replace(read, over=True) if read.line.number <= max(ready, further.get(read.line.process, -1)) else read
        for read in found
        if not _REQUEST.search(read.line.text)
    ]


def is_trouble(line: Line) -> bool:
    """Whether the line itself reports that something failed, whatever it was."""
    return not _goes_on(line) and bool(
        line.level == log_line.ERROR or EXCEPTION.match(line.text) or _TROUBLE.search(line.text)
    )


def _goes_on(line: Line) -> bool:
    return line.low and not _TROUBLE.search(line.text)


def _own_doing(lines: Iterable[str]) -> Iterator[Line]:
    """The lines that a rank wrote while it was to run: that a rank that is being stopped is killed after its time, or loses the
    others, is no failure. A line without a time has that of the line before it."""
    stopped, time = False, None
    for number, raw in enumerate(lines):
        line = log_line.read(raw, number)
        time = line.time if line.time is not None else time
        if _STOPPED_BY_US.match(line.text):
            stopped = True
        elif _STARTED_BY_US.match(line.text):
            stopped = False
        if not stopped:
            yield line if line.time == time else Line(number, time, line.level, line.process, line.text, line.whole)


def _without_code(lines: Iterable[Line]) -> Iterator[Read]:
    """Without the frames of tracebacks, whose code quotes messages of other branches. Each process has its own traceback."""
    quoting: dict[str, str] = {}  # the last line of code; absent outside of a traceback
    chained: set[str] = set()
    passing: set[str] = set()
    for line in lines:
        key, text = line.process, line.text
        if _PASSING.match(text):
            passing.add(key)
            continue
        if _TRACEBACK.match(text):
            quoting[key] = ""
            if key in passing:
                continue
        elif _FRAME.match(text):
            quoting[key] = ""
            continue
        elif key in quoting and text[:2] == "  ":
            quoting[key] = quoting[key] if _MARK.match(text) else text.strip()
            continue
        elif _CHAINED.match(text):
            chained.add(key)
            continue
        elif EXCEPTION.match(text):
            if key not in passing:
                yield Read(line, key in chained, quoting.get(key, ""))
            quoting.pop(key, None)
            chained.discard(key)
            continue
        elif text.strip():
            if key not in quoting:
                passing.discard(key)
            quoting.pop(key, None)
        yield Read(line)
