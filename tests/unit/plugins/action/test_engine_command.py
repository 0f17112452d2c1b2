# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `engine_command`: a launch, or all that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.engine_command import ActionModule

ARGUMENTS = {
    "engine": "sglang",
    "engine_version": "0.5.23",
    "model": "/srv/models/tiny",
    "served_model_name": "tiny",
    "api_key": "sk-0123456789",
    "engine_args": {"mem_fraction_static": "0.85"},
}


def test_a_launch_is_the_same_in_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS)
    argv = result["launch"]["argv"]
    assert result["changed"] is False and argv[argv.index("--mem-fraction-static") + 1] == "0.85"
    assert result == run_action(monkeypatch, ActionModule, ARGUMENTS, check_mode=True)[0]


def test_all_mistakes_are_one_failure_without_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ARGUMENTS | {"engine_args": {"mem_fraction_statik": "0.85"}, "rank": 5}
    result, _ = run_action(monkeypatch, ActionModule, wrong)
    assert result["failed"] and "launch" not in result
    assert "mem_fraction_statik" in result["msg"] and "rank" in result["msg"]
    assert len([one for one in result["findings"] if one["severity"] == "fail"]) >= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"engine": "tgi"}, "value of engine must be one of"), ({"modell": "x"}, "Unsupported parameters")],
)
def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        run_action(monkeypatch, ActionModule, ARGUMENTS | changes)
