# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of a launch: options that it adds, and what it cannot be.

An engine that does another task than its requests want never becomes ready, and is stopped after an hour: so a task that does
not go with engine, version, options or model is refused before the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.tasks import (
    EMBED,
    ENGINES,
    GENERATE,
    HALF,
    SINCE,
    TASKS,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call, Setting
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request


def with_options(request: Request, call: Call, options: VersionCatalog) -> Call:
    """The call with the options by which its engine does ``engine_task``."""
    if request.engine not in ENGINES or not request.task:
        return call
    values = {option.key: value for option, value in options.check(request.engine_args, "").options}
    known = {name: options.lookup(name) is not None for name in ("runner", "task")}
    more = tasks.added(request.engine, values, known, request.task, request.model_info)
    return replace(call, args={**call.args, **{name: Setting(value, "task") for name, value in more.items()}})


def check(request: Request, options: VersionCatalog, values: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the task. values: what stands on the command line, by canonical name."""
    if request.engine not in ENGINES:
        return
    where = request.variable("task")
    own = {name: value for name, value in values.items() if name not in _added(request, values)}
    wish = Wish(request.engine, options.version, own, request.task or "", request.model_info)
    if problem := wish.problem:
        yield failed(problem.code, where, problem.message, _remedy(request, wish, problem))
        return
    served, by_model = wish.served, tasks.of_model(request.model_info)
    # router, web chat and checks take the task from the inventory alone
    if request.expected_task and served.name != request.expected_task:
        what = f"the inventory has {request.expected_task}, and of the model on the node {served.why}"
        yield failed("task-of-model", where, what, f"write {where}: {served.name}")
    if request.engine == "sglang" and served.source == tasks.DEFAULT and by_model and by_model.name == EMBED:
        what = f"{by_model.why}, and SGLang generates with it unless it gets is_embedding"
        yield warned("task-of-model", where, what, f"write {where}: {EMBED}, or {GENERATE} where it is meant")


class Problem(NamedTuple):
    """What is wrong with a wish. option: of the engine, that stands against it; empty where none does."""

    code: str
    message: str
    option: str = ""


@dataclass(frozen=True)
class Wish:
    """What is to be done by which engine. values: its options that the user set. wanted: ``engine_task``."""

    engine: str
    version: str
    values: Mapping[str, Any]
    wanted: str
    model: Mapping[str, Any]

    @property
    def served(self) -> tasks.Task:
        """The task that comes of it."""
        return tasks.task(self.engine, self.values, self.wanted, self.model)

    @property
    def problem(self) -> Problem | None:
        """The first thing that keeps the engine from it."""
        served = self.served
        if served.probe == HALF and self.wanted not in ("", GENERATE):
            return Problem("task-against-options", f"{self.wanted}, and {served.why}", "disaggregation_mode")
        if self.wanted:
            for other, option in tasks.impossible(self.engine, self.values, self.wanted, self.model):
                what = f"{self.wanted}, but {'there is ' if option else 'of the model '}{other.why}"
                return Problem("task-against-options" if option else "task-against-model", what, option)
        if served.question not in ENGINES[self.engine]:
            return Problem("task-of-engine", f"{served.name}, which {self.engine} does not serve ({served.why})")
        since = SINCE.get((self.engine, served.question))
        if since and Version(self.version) < Version(since):
            what = f"{self.engine} {self.version} has no path to ask for it ({served.why}); it came with {since}"
            return Problem("task-of-version", what)
        return None


def _remedy(request: Request, wish: Wish, problem: Problem) -> str:
    """What would do, each tried: another version, an option or ``engine_task`` left out, another task, another engine."""
    where, args = request.variable("task"), request.variable("engine_args")
    offers: list[tuple[str, Wish]] = []
    if since := SINCE.get((wish.engine, wish.served.question)):
        offers.append((f"set {request.variable('version')} to {since} or newer", replace(wish, version=since)))
    if problem.option:
        rest = {name: value for name, value in wish.values.items() if name != problem.option}
        offers.append((f"leave {args}.{problem.option} out", replace(wish, values=rest)))
    if wish.wanted:
        offers.append((f"leave {where} out", replace(wish, wanted="")))
    offers += [(f"write {where}: {one}", replace(wish, wanted=one)) for one in TASKS if one != wish.wanted]
    for name in ENGINES:
        other = replace(wish, engine=name, version=NEWEST, values={})
        offers += [(f"set {request.variable('engine')}: {name}", other)] if name != wish.engine else []
        text = f"set {request.variable('engine')}: {name} and leave {where} out"
        offers += [(text, replace(other, wanted=""))] if name != wish.engine and wish.wanted else []
    good = [text for text, one in offers if one.problem is None and one != wish]
    return ", or ".join(good[:2]) or f"serve another model, or leave {where} and {args} out"


NEWEST = "999"
"""A version of which every path is known."""


def _added(request: Request, values: Mapping[str, Any]) -> frozenset[str]:
    """The options on the command line that are not the user's but follow from the task."""
    written = {str(name).lstrip("-").replace("-", "_") for name in request.engine_args}
    return frozenset({"runner", "task", "is_embedding"} & set(values) - written) if request.task else frozenset()
