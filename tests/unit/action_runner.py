# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action in this process, with a stand-in for the module on the node."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.watch import Watch

Answers = Callable[[str, dict[str, Any]], dict[str, Any]]
"""(name of the module, its arguments) → what it returns; it raises what the connection would."""


def no_module(name: str, _arguments: dict[str, Any]) -> dict[str, Any]:
    """The node of an action that works on the controller alone."""
    raise AssertionError(f"the action ran {name} on the node")


class Shown(list[str]):
    """The lines that the action shows."""

    def display(self, line: str) -> None:
        self.append(line)


def run_action(
    monkeypatch: pytest.MonkeyPatch,
    action: type[ActionBase],
    arguments: dict[str, Any],
    answers: Answers = no_module,
    *,
    check_mode: bool = False,
    **task_vars: Any,
) -> tuple[dict[str, Any], Shown]:
    """The action's result, and the lines that it showed. Nothing waits: time passes only where a watch would have slept."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    defaults = Watch.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "sleep", sleep)
    monkeypatch.setitem(defaults, "clock", lambda: now[0])
    shown = Shown()
    # an action that shows nothing has no Display
    monkeypatch.setattr(f"{action.__module__}.Display", lambda: shown, raising=False)
    task = Task()
    task.action, task.args, task.check_mode = action.__module__.rpartition(".")[2], arguments, check_mode
    task.async_val = 0
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp"))
    plugin = action(task, connection, None, DataLoader(), Templar(DataLoader()), None)

    def execute(module_name: str = "", module_args: dict[str, Any] | None = None, **_others: Any) -> dict[str, Any]:
        # as Ansible does: without arguments a module is given the task's own
        return answers(module_name, arguments if module_args is None else module_args)

    monkeypatch.setattr(plugin, "_execute_module", execute)
    return plugin.run(task_vars={"inventory_hostname": "n1", **task_vars}), shown
