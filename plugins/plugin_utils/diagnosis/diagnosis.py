# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer of what was gathered on all nodes of a deployment. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import failures
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.telling import Telling

HEALTHY, FAILING = "healthy", "failing"
NOT_ASKED: Mapping[str, Any] = {"requested": False}
"""The result of a host that ``--limit`` left out: no fault of it is known, and none is reported."""


def diagnose(
    signatures: Sequence[failures.Signature], hosts: Sequence[str], results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is wrong with one deployment.

    hosts: in rank order. results: of M(fullrank.serving.diagnose) on each; without ``rank_state`` where the node did not answer,
    `NOT_ASKED` where the run had no such host.
    ``{"state": healthy or failing, "ranks": one line of each, "causes": likeliest first, "lines": for people}``
    """
    answer: Mapping[str, Any] = next((one["answer"] for one in results if "answer" in one), {})
    ranks = [_rank(rank, host, result) for rank, (host, result) in enumerate(zip(hosts, results, strict=True))]
    requested = [one for one in ranks if one["active"] is not None]
    healthy = all(one["active"] for one in requested) and bool(answer.get("ready", ranks[0]["active"] is None))
    sightings = {rank: result.get("sightings", []) for rank, result in enumerate(results)}
    errors = {rank: _error(result) for rank, result in enumerate(results)}
    first = _first_failed(results, errors)
    causes = failures.rank_causes(signatures, sightings, first)
    if healthy:  # what a log holds of a failure is over
        causes = [cause for cause in causes if cause["level"] == "warning"]
    return {
        "state": HEALTHY if healthy else FAILING,
        "ranks": ranks,
        "causes": causes,
        "lines": [
            _headline(healthy, ranks, answer),
            *([] if healthy or failures.names_a_cause(causes) else _unknown(causes, errors, hosts, first)),
            *failures.cause_lines(causes, hosts, limit=5),
        ],
    }


def _rank(rank: int, host: str, result: Mapping[str, Any]) -> dict[str, Any]:
    state = result.get("rank_state")
    if result == NOT_ASKED:
        return {"rank": rank, "host": host, "active": None, "state": "was not asked (--limit)"}
    if state is None:
        return {
            "rank": rank,
            "host": host,
            "active": False,
            "state": f"the node does not answer: {result.get('msg', '')}",
        }
    if state["active"] == "active":
        return {"rank": rank, "host": host, "active": True, "state": "runs"}
    if not state["exists"]:
        return {"rank": rank, "host": host, "active": False, "state": "is not installed"}
    return {
        "rank": rank,
        "host": host,
        "active": False,
        "state": f"its unit is {state['active']} ({state['result']}, exit status {state['exit_status']})",
    }


def _first_failed(results: Sequence[Mapping[str, Any]], errors: Mapping[int, Telling | None]) -> int | None:
    """The rank whose unit failed, when there is just one: the others were stopped or lost it. Otherwise by what they logged."""
    failed = [rank for rank, one in enumerate(results) if one.get("rank_state", {}).get("active") == "failed"]
    return failed[0] if len(failed) == 1 else failures.first_to_fail({rank: errors[rank] for rank in failed or errors})


def _error(result: Mapping[str, Any]) -> Telling | None:
    error = result.get("last_error")
    return Telling(error["line"], error["weight"], error["time"], error["number"]) if error else None


def _headline(healthy: bool, ranks: Sequence[Mapping[str, Any]], answer: Mapping[str, Any]) -> str:
    left_out = [f"rank {one['rank']} ({one['host']})" for one in ranks if one["active"] is None]
    if healthy and left_out:
        endpoint = f"the endpoint has answered in {answer['seconds']} s" if answer else "the endpoint was not checked"
        return f"nothing wrong with what was asked: {endpoint}; --limit leaves out {', '.join(left_out)}"
    if healthy:
        return f"healthy: all {len(ranks)} ranks run and the endpoint has answered in {answer['seconds']} s"
    down = [f"rank {one['rank']} ({one['host']}): {one['state']}" for one in ranks if one["active"] is False]
    endpoint = f"the endpoint answers: {answer['error']}" if answer.get("error") else ""
    return "not healthy: " + "; ".join([*down, *([endpoint] if endpoint else [])] or ["the endpoint was not checked"])


def _unknown(
    causes: Sequence[Mapping[str, Any]],
    errors: Mapping[int, Telling | None],
    hosts: Sequence[str],
    first: int | None,
) -> list[str]:
    error = failures.error_line(errors, hosts, first)
    if error:
        return [f"{failures.NO_CAUSE} {error}"]
    return [] if causes else ["No cause that is known, and no line of a log that looks like an error."]
