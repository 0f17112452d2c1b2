# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status: one row for each rank, as data and as a table. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.plugin_utils.common import text_table
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import label

COLUMNS = ("DEPLOYMENT", "REPLICA", "RANK", "HOST", "UNIT", "SINCE", "PID", "HEALTH")
# heading → cell of a row; a column that is empty in all rows is not shown
_COLUMNS = ("ENGINE", "GPU MEMORY", "TOKENS/S", "RUNNING", "WAITING", "KV CACHE")
AS_WANTED = ("ready", "stopped")
"""Healths that are no fault: an operator stopped what is stopped. What the inventory has and a node has not is one."""
MISSING = "not installed"
WIDEST = 74
"""Columns of a terminal of 80, without what Ansible writes before a line of a message."""
_LONGEST_HEALTH = 24


def status_rows(
    deployments: Mapping[str, Sequence[Sequence[str]]], infos: Mapping[str, Mapping[str, Any]], now: float
) -> list[dict[str, Any]]:
    """One row for each rank, as data.

    deployments: name → the hosts of each replica in rank order. infos: host → what `rank_info` returned, without
    ``rank_state`` when the node did not answer; a host that is not there was not asked (``--limit``) and has no row. now: seconds
    since the epoch. ``since`` is an age in seconds, None for a rank that does not run. ``wanted``: ready, or stopped where an
    operator stopped it. ``trouble``: what a supervisor cannot do and goes on without, a file that it cannot write say; empty.
    ``drift``: what runs and what the inventory has, where they differ.
    """
    return [
        {
            "deployment": name,
            "replica": replica,
            "rank": rank,
            "host": host,
            **_condition(infos[host] or {}, now),
            "trouble": "; ".join(((infos[host] or {}).get("group") or {}).get("troubles", [])),
            "drift": list((infos[host] or {}).get("drift") or []),
            **load(infos[host] or {}),
        }
        for name, cut in deployments.items()
        for replica, hosts in enumerate(cut)
        for rank, host in enumerate(hosts)
        if host in infos
    ]


def _condition(info: Mapping[str, Any], now: float) -> dict[str, Any]:
    state = info.get("rank_state")
    if state is None:
        # a node that was reached, and on which the module failed, reports why
        why = "" if info.get("unreachable") else str(info.get("msg", "")).strip().partition("\n")[0]
        unit, health = ("unknown", f"not asked: {why}") if why else ("unreachable", "unknown")
        return {"unit": unit, "since": None, "pid": 0, "health": health, "wanted": "ready"}
    runs = state["active"] == "active"
    unit = state["active"] if state["exists"] else MISSING
    supervisor, group, answer = info["supervisor"], info["group"], info.get("answer")
    if supervisor["active"] != "active":
        health = "down" if supervisor["enabled"] else "stopped" if supervisor["exists"] else MISSING
    elif not group:
        health = "its supervisor does not move"
    elif group["ready"] and answer and not answer["ready"]:
        health = f"not ready: {answer['error']}"
    else:
        health = group["summary"]
    since = max(0, int(now - state["since"])) if runs else None
    wanted = "stopped" if health == "stopped" else "ready"
    return {"unit": unit, "since": since, "pid": state["pid"], "health": health, "wanted": wanted}


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as lines, none of them wider than a terminal because of its columns: a table of states with a heading, without a
    replica where no deployment has several; how busy the ranks are, in tables of their own where one would be too wide; and
    lines of each rank about which there is more to say than a cell holds."""
    if not rows:
        return []
    headings, details = columns(rows)
    left_out = () if any(row["replica"] for row in rows) else (COLUMNS.index("REPLICA"),)

    def shown(line: Sequence[str]) -> list[str]:
        return [word for place, word in enumerate(line) if place not in left_out]

    states = [shown(COLUMNS)] + [shown(_state_cells(row)) for row in rows]
    loads = [headings, *details]
    who = [state[: len(shown(COLUMNS[:4]))] for state in states]
    lines: list[str] = []
    part = states
    for column in range(len(headings)):
        wider = [[*cells, load[column]] for cells, load in zip(part, loads, strict=True)]
        if max(map(len, text_table.table(wider))) > WIDEST:
            lines += text_table.table(part)
            wider = [[*cells, load[column]] for cells, load in zip(who, loads, strict=True)]
        part = wider
    lines += text_table.table(part)
    return [*lines, *_notes(rows)]


def _state_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["deployment"]),
        str(row["replica"]),
        str(row["rank"]),
        str(row["host"]),
        str(row["unit"]),
        human.age(row["since"]),
        str(row["pid"] or "-"),
        str(row["health"]) if len(str(row["health"])) <= _LONGEST_HEALTH else f"{_short(row['health'])} (below)",
    )


def _short(health: str) -> str:
    words = health.partition(":")[0]
    return words if len(words) <= _LONGEST_HEALTH else f"{words[: _LONGEST_HEALTH - 3]}..."


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What does not fit into a cell."""
    notes = []
    for row, who in zip(rows, _names(rows), strict=True):
        texts = [str(row["health"])] if len(str(row["health"])) > _LONGEST_HEALTH else []
        texts += [one for one in (row.get("trouble"),) if one]
        texts += row.get("drift") or []
        notes += [f"{who}: {text}" for text in texts]
    return notes


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each row is about, e.g. ``chat replica 1 rank 0 (gpu3)``."""
    replicas: dict[str, int] = {}
    for row in rows:
        replicas[row["deployment"]] = max(replicas.get(row["deployment"], 1), row["replica"] + 1)
    return [
        f"{label(row['deployment'], row['replica'], replicas[row['deployment']])} rank {row['rank']} ({row['host']})"
        for row in rows
    ]


def load(info: Mapping[str, Any]) -> dict[str, Any]:
    """Of what `rank_info` returned: engine (name and version), gpu_memory_used_mib and gpu_memory_total_mib (of the rank's node),
    tokens_per_s, running, waiting and kv_usage (0 to 1); None for what is not known."""
    gpus, load = info.get("gpus") or [], info.get("metrics") or {}
    return {
        "engine": info.get("engine") or None,
        "gpu_memory_used_mib": _sum(gpus, "memory_used_mib"),
        "gpu_memory_total_mib": _sum(gpus, "memory_total_mib"),
        **{name: load.get(name) for name in ("tokens_per_s", "running", "waiting", "kv_usage")},
    }


def _sum(gpus: Sequence[Mapping[str, Any]], name: str) -> int | None:
    values = [gpu[name] for gpu in gpus if gpu.get(name) is not None]
    return sum(values) if values else None


def columns(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The headings of the columns in which there is something, and their cells for each row."""
    cells = [_cells(row) for row in rows]
    shown = [place for place in range(len(_COLUMNS)) if any(line[place] != "-" for line in cells)]
    return [_COLUMNS[place] for place in shown], [[line[place] for place in shown] for line in cells]


def _cells(row: Mapping[str, Any]) -> list[str]:
    def number(name: str, form: str) -> str:
        return "-" if row.get(name) is None else format(row[name], form)

    used, total = row.get("gpu_memory_used_mib"), row.get("gpu_memory_total_mib")
    memory = "-" if used is None or total is None else f"{used / 1024:.0f}/{total / 1024:.0f} GiB"
    return [
        row.get("engine") or "-",
        memory,
        number("tokens_per_s", ".1f"),
        number("running", ".0f"),
        number("waiting", ".0f"),
        number("kv_usage", ".0%"),
    ]


def not_ready(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each rank that is not as it should be; none when everything serves that should."""
    return [
        f"{who}: {row['health']}" + ("; run site.yml, which installs it" if row["health"] == MISSING else "")
        for row, who in zip(rows, _names(rows), strict=True)
        if row["health"] not in AS_WANTED
    ]
