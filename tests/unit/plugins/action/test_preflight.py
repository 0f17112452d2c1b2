# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `preflight`: the module's answer, with the controller's clock around it."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible_collections.fullrank.serving.plugins.action import preflight

ANSWER = {"changed": False, "checks": [], "node": {"clock": {"node": 1000.2}}}


def test_the_controllers_clock_before_and_after_is_put_beside_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1000.0, 1000.5])
    monkeypatch.setattr(preflight.time, "time", lambda: next(times))
    result, _ = run_action(monkeypatch, preflight.ActionModule, {}, lambda *_: ANSWER)
    assert result["node"]["clock"] == {"node": 1000.2, "sent": 1000.0, "received": 1000.5}


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_module_that_fails_is_returned_as_it_is(monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    answer: dict[str, Any] = {"failed": True, "msg": "no python"}
    result, _ = run_action(monkeypatch, preflight.ActionModule, {}, lambda *_: answer, check_mode=check_mode)
    assert result == answer
