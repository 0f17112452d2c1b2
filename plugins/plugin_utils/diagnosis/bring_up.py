# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read about a deployment: why it did not come up, and how it is doing. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd.names import rank_unit
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import failures

SHOWN_LINES = 20


def bring_up_report(
    signatures: Sequence[failures.Signature],
    deployment: str,
    host: str,
    hosts: Sequence[str],
    results: Sequence[Mapping[str, Any]],
    *,
    label: str = "",
) -> str:
    """Why a deployment did not come up: the likely cause and what to do, then the last lines of every rank.

    label: what to call it; the deployment's name when empty.

    host: where the report is shown; only the first rank that can still speak shows it, the others point there.
    hosts: in rank order. results: per host what the role registered: ``__engine_started`` (of the supervisor), ``__engine_ready``
    (each with ``msg`` where it failed) and ``__engine_stopped`` (with ``log``, where the node still answered).
    """
    label = label or deployment
    ranks = list(enumerate(zip(hosts, results, strict=True)))
    reporter = next((i for i, (_unused, result) in ranks if "log" in result.get("__engine_stopped", {})), 0)
    if host != hosts[reporter]:
        return f"{label} did not come up: see rank {reporter} ({hosts[reporter]})"
    lines = [f"{label} did not come up, and was stopped on all nodes that answer."]
    lines += _likely_causes(signatures, hosts, results)
    for rank, (name, result) in ranks:
        lines.append(f"== rank {rank} ({name}): {_why(result)}")
        lines += [f"   {line}" for line in _last_lines(result)]
    lines.append(f"The whole log of a rank: journalctl -u {rank_unit(deployment)}, on its node")
    return "\n".join(lines)


def _likely_causes(
    signatures: Sequence[failures.Signature], hosts: Sequence[str], results: Sequence[Mapping[str, Any]]
) -> list[str]:
    logs = {rank: _log(result) for rank, result in enumerate(results)}
    errors = {rank: failures.most_telling(signatures, log) for rank, log in logs.items()}
    own = [rank for rank, result in enumerate(results) if _why(result) != NO_FAILURE and FOLLOWED not in _why(result)]
    first = failures.first_to_fail({rank: errors[rank] for rank in own})
    first = min(own, default=None) if first is None else first
    sightings = {rank: failures.search(signatures, log) for rank, log in logs.items()}
    causes = failures.rank_causes(signatures, sightings, first)
    error = failures.error_line(errors, hosts, first)
    lines = failures.cause_lines(causes, hosts)
    if failures.names_a_cause(causes) or not error:
        return lines
    return [f"{failures.NO_CAUSE} {error}", *lines]


def _was_started(result: Mapping[str, Any]) -> bool:
    return bool(result.get("__engine_started"))


def _log(result: Mapping[str, Any]) -> list[str]:
    # what the journal of a rank that was not started holds is of another day
    return list(result.get("__engine_stopped", {}).get("log", [])) if _was_started(result) else []


def _last_lines(result: Mapping[str, Any]) -> list[str]:
    if not _was_started(result):
        return ["(it was not started)"]
    if "log" not in result.get("__engine_stopped", {}):
        return ["(the node no longer answers: its log is in its journal)"]
    return _log(result)[-SHOWN_LINES:] or ["(it wrote nothing)"]


NO_FAILURE = "no failure of its own"
# rank_wait reports this of a rank that gave up for another one
FOLLOWED = "stopped waiting, because"


def _why(result: Mapping[str, Any]) -> str:
    for name in ("__engine_started", "__engine_ready"):
        step = result.get(name, {})
        if step.get("failed") or step.get("unreachable"):
            return str(step.get("msg"))
    return NO_FAILURE
