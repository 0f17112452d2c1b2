# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a log: what stands in front of it (journal, container, engine, process, level) and its text. Pure.

The forms are those of journalctl, docker compose and kubectl in front; then of vLLM, SGLang, LMDeploy, Ray, torch, NCCL, UCX,
NIXL, uvicorn, Fabric Manager and the kernel. Several may stand in front of one text. Private to this collection.
"""

from __future__ import annotations

import calendar
import re
import time as clock
from dataclasses import dataclass

# What is kept of a longer line. Engines print their whole configuration in one line; what matters of an error is at its ends.
HEAD, TAIL = 1500, 1500
QUOTED = 300

DEBUG, INFO, WARNING, ERROR = "debug", "info", "warning", "error"
_LEVELS = {
    **dict.fromkeys(("DEBUG", "TRACE", "D"), DEBUG),
    **dict.fromkeys(("INFO", "I", "NOTICE", "DIAG"), INFO),
    **dict.fromkeys(("WARNING", "WARN", "W"), WARNING),
    **dict.fromkeys(("ERROR", "CRITICAL", "FATAL", "E", "F"), ERROR),
}

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# "1795377378.123456 n1 fullrank-tiny[7]: text": journalctl --output=short-unix
_UNIX = re.compile(r"^(\d{9,}\.\d{6}) \S+ (?:[^:\s]+: )?")
# "Nov 22 19:54:22 n1 vllm[7]: text" and "2026-11-22T19:54:22+0000 n1 vllm[7]: text": short and short-iso
_JOURNAL = re.compile(
    r"^(?:[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d|(?P<d>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,]\d+)?[+-]\d\d:?\d\d) "
    r"\S+ [\w@.\\-]+(?:\[\d+\])?: "
)
_LEVEL = r"(?P<l>DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)"
_DAY = r"\d{4}-\d\d-\d\d"
_CLOCK = r"\d\d:\d\d:\d\d"
# each may stand once or more in front; d: date and time, m: month, day and time, l: level, p: process
_FRONT = [
    re.compile(pattern)
    for pattern in (
        r"^[\w.-]{1,64} +\| ?(?=\S)",  # docker compose
        r"^(?:stdout|stderr) [FP] ",  # containerd
        rf"^\[?(?P<d>{_DAY}T{_CLOCK})[.\d]*Z?\]? +",  # kubectl --timestamps
        # (EngineCore_DP0 pid=570), (RayWorkerWrapper pid=872, ip=10.0.0.2), (raylet, ip=10.0.0.2), (autoscaler +13s)
        r"^\((?P<p>(?:[\w.:-]{1,80} )?pid=\d+(?:, ip=[\w.:]+)?|raylet[^)]{0,40}|autoscaler[^)]{0,20})\) ?",
        # vLLM: "ERROR 11-24 08:50:34 [core.py:842] text", before 0.8 without the first bracket
        rf"^{_LEVEL} (?P<m>\d\d-\d\d {_CLOCK})(?:[.,]\d+)? \[?[\w./-]+:\d+\] ?",
        # SGLang: "[2026-05-01 10:10:00 DP0 TP0] text"; no level
        rf"^\[(?P<d>{_DAY} {_CLOCK})(?:[.,]\d+)?(?P<p>(?: [A-Za-z_]+\d+)*)\] ?",
        # torch: "[rank3]: text", "[rank3]:[E227 16:30:43.526 a.cpp:1834] text"; glog "E0717 07:30:06.7 99 a.cpp:5] …"
        r"^\[(?P<p>rank\d+)\]: ?(?=[^\[])|^\[(?P<q>rank\d+)\]:(?=\[)",
        rf"^\[?(?P<l>[IWEF])(?P<g>\d{{3,4}}) (?P<t>{_CLOCK})\.\d+ +(?:\d+ +)?[\w./-]+:\d+\] ?(?:\[c10d\] ?)?",
        # Ray's C++: "[2026-05-01 10:10:00,123 E 57 57] (raylet) node.cc:12: text"
        rf"^\[(?P<d>{_DAY} {_CLOCK}),\d+ (?P<l>[IWEF]) \d+ \d+\] (?:\([\w ]+\) )?(?:[\w./-]+:\d+: )?",
        # Python's logging: LMDeploy "… - lmdeploy - ERROR - engine.py:12 - text", Ray "… ERROR node.py:12 -- text", NIXL
        rf"^(?P<d>{_DAY} {_CLOCK})(?:[.,]\d+)?[\s|-]+(?:[\w.]+[\s|-]+){{0,2}}?{_LEVEL}\b[\s|:-]*"
        r"(?:[\w.]+:\d+\s*(?:-{1,2}\s+|\s|$))?",
        # UCX: "[1784273406.684686] [n1:994396:0]      ib_mlx5_dv.c:452  UCX  ERROR   text"
        r"^\[\d{9,}\.\d+\] \[[^\]]{1,80}\] +\S+ +(?=UCX +(?P<l>[A-Z]+))",
        # Fabric Manager: "[Sep 08 2025 23:21:50] [ERROR] [tid 9] text"
        rf"^(?:\[[A-Z][a-z]{{2}} \d\d \d{{4}} {_CLOCK}\] )?\[{_LEVEL}\] (?:\[tid \d+\] )?",
        rf"^{_LEVEL}: {{1,8}}",  # uvicorn, pip
        rf"^{_LEVEL} +(?=[a-z_][\w.]*(?:::\w+)*: )",  # Rust's tracing
        r"^\[ *\d{1,7}\.\d{6}\] ",  # the kernel
    )
]
# "n1:100:220 [1] misc/socket.cc:533 NCCL WARN text": WARN is NCCL's word for an error
_NCCL = re.compile(r"^[\w.-]+:\d+:\d+ \[-?\d+\] +(?=[^\n]{0,120}?\bNCCL (?P<l>INFO|WARN|ERROR|TRACE)\b)")
_NCCL_BARE = re.compile(r"^(?:\S{1,80} )?NCCL (?P<l>INFO|WARN|ERROR|TRACE)\b")
_TURBOMIND = re.compile(r"^\[TM\]\[(?P<l>[A-Z]+)\]")
_MARKED = re.compile(r"\blevel=(?P<l>\w+) msg=")  # docker, containerd

EXCEPTION = re.compile(
    r"^[\w.]*(?:Error|Exception|Interrupt|Timeout|Failure|Fault|NotFound|NotInstalled|Unavailable|Expired)"
    r"(?:\([\w.]+\))?(?:: |:$|$)"
)
# the words of what goes on all the same
_GOES_ON = re.compile(
    r"^(?:Ignor|Skip|Retry|Exception ignored)|\b(?:Ignoring|ignored:|[Rr]etrying|[Rr]etry in|[Ff]alling back|[Ff]all back to|"
    r"[Ss]kipping|[A-Z]\w+Warning:)|^server_args=|^(?i:warn(?:ing)?)\b"
)


@dataclass(frozen=True)
class Line:
    """number: of the line, from 0. time: seconds; comparable between lines of one kind only, None where there is none.
    level: debug, info, warning, error, or empty where the line has none. text: without what stands in front; whole: with the
    engine's part of it, as quoted."""

    number: int
    time: float | None
    level: str
    process: str
    text: str
    whole: str

    @property
    def low(self) -> bool:
        """Whether the program itself takes it for no failure."""
        return self.level in (DEBUG, INFO, WARNING)


def clean(line: str) -> str:
    """A line as it is searched and quoted: without colours, the last state of a progress bar, of bounded length."""
    text = _ANSI.sub("", line).rstrip("\r\n").rpartition("\r")[2]
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} … {text[-TAIL:]}"


def split_time(line: str) -> tuple[float | None, str]:
    """``1795377378.123456 n1 fullrank-tiny[7]: text`` → the time and the text; None and the line where there is no time."""
    stamp = _UNIX.match(line)
    return (float(stamp[1]), line[stamp.end() :]) if stamp else (None, line)


def quote(text: str, start: int, end: int) -> str:
    """The part of a line to show: all of it, or what is around the hit."""
    text = text.strip()
    if len(text) <= QUOTED:
        return text
    first = max(0, min(start - QUOTED // 3, len(text) - QUOTED))
    return ("…" if first else "") + text[first : first + QUOTED] + ("…" if first + QUOTED < len(text) else "")


def read(raw: str, number: int = 0) -> Line:
    """The parts of one line."""
    time, rest = split_time(raw)
    whole = clean(rest)
    journal = _JOURNAL.match(whole)
    if journal and time is None:
        time = _seconds(journal.groupdict())
        whole = whole[journal.end() :]
    text, level, process = whole, "", ""
    for _unused in range(8):
        hit = next((hit for pattern in _FRONT if (hit := pattern.match(text))), None)
        if not hit or not hit.end():
            break
        parts = {name: value for name, value in hit.groupdict().items() if value}
        time = _seconds(parts) if time is None else time
        level = _LEVELS.get(parts.get("l", "").upper(), level)
        process = (parts.get("p") or parts.get("q") or process).strip()
        text = text[hit.end() :]
        if process.startswith("autoscaler"):
            level = WARNING
    nccl = _NCCL.match(text) or _NCCL_BARE.match(text)
    if nccl:
        level = ERROR if nccl["l"] in ("WARN", "ERROR") else INFO
        text = text[nccl.end() :] if nccl.re is _NCCL else text
    marked = _TURBOMIND.match(text) or _MARKED.search(text, 0, 200)
    if marked:
        level = _LEVELS.get(marked["l"].upper(), level)
    if level in ("", ERROR) and not nccl and not EXCEPTION.match(text) and _GOES_ON.search(text):
        level = WARNING
    return Line(number, time, level, process, text, whole)


def _seconds(parts: dict[str, str | None]) -> float | None:
    """Seconds within a year: engines leave the year out, and logs are of one day."""
    day = (parts.get("d") or "")[5:].replace("T", " ") or parts.get("m")
    month = parts.get("g")
    if month:  # 227: the 27th of February
        day = f"{month[:-2]}-{month[-2:]} {parts['t']}"
    if not day:
        return None
    try:
        return float(calendar.timegm(clock.strptime(f"2000-{day}", "%Y-%m-%d %H:%M:%S")))
    except ValueError:
        return None
