# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `engine_key`: a key is made once, in a private file, and never returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action import engine_key
from ansible_collections.fullrank.serving.plugins.action.engine_key import ActionModule


def have(
    monkeypatch: pytest.MonkeyPatch, task_vars: dict[str, Any], check_mode: bool = False, **arguments: Any
) -> tuple[dict[str, Any], list[str]]:
    params = {"deployment": "tiny", **arguments}
    return run_action(monkeypatch, ActionModule, params, check_mode=check_mode, **task_vars)


def key_in(path: Path) -> str:
    return str(yaml.safe_load(path.read_text())["engine_api_key"])


def test_a_key_is_made_beside_the_inventory_and_not_returned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, shown = have(monkeypatch, {"inventory_dir": str(tmp_path)})
    file = tmp_path / "group_vars/tiny.key.yml"
    assert (result["changed"], result["path"]) == (True, str(file))
    assert file.stat().st_mode & 0o777 == 0o600 and [path.name for path in file.parent.iterdir()] == [file.name]
    key = key_in(file)
    assert len(key) == 43 and set(key) <= set(engine_key.ALPHABET)
    assert key not in str(result) + "".join(shown)
    assert any(str(file) in line for line in shown)


def test_a_key_that_is_there_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "own.yml"
    file.write_text("engine_api_key: mine\n")
    result, shown = have(monkeypatch, {"engine_api_key_file": str(file)})
    assert (result["changed"], result["path"], shown) == (False, str(file), [])
    assert file.read_text() == "engine_api_key: mine\n"


def test_two_deployments_get_different_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a", "b"):
        have(monkeypatch, {}, deployment=name, path=str(tmp_path / f"{name}.yml"))
    assert key_in(tmp_path / "a.yml") != key_in(tmp_path / "b.yml")


def test_check_mode_makes_nothing_and_reports_that_it_would(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, shown = have(monkeypatch, {"inventory_dir": str(tmp_path)}, check_mode=True)
    assert result["changed"] and "a new key" in result["diff"]["prepared"] and shown == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_host_makes_in_this_moment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yml"
    made = engine_key.key_file.text

    def text(*words: str) -> str:
        file.write_text("engine_api_key: first\n")
        return made(*words)

    monkeypatch.setattr(engine_key.key_file, "text", text)
    have(monkeypatch, {}, path=str(file))
    assert key_in(file) == "first" and [path.name for path in tmp_path.iterdir()] == ["tiny.yml"]


@pytest.mark.parametrize("text", ["other: x\n", "engine_api_key: ''\n", "- a\n"])
def test_a_file_without_a_key_is_an_error_and_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    file = tmp_path / "tiny.yml"
    file.write_text(text)
    result, _ = have(monkeypatch, {}, path=str(file))
    assert result["failed"] and f"{file} holds no engine_api_key" in result["msg"]
    assert file.read_text() == text


def test_an_inventory_that_is_no_file_needs_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = have(monkeypatch, {})
    assert result["failed"] and "set engine_api_key, or engine_api_key_file" in result["msg"]


def test_the_deployment_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleError, match="missing required arguments: deployment"):
        run_action(monkeypatch, ActionModule, {})


@pytest.mark.parametrize("name", ["../x", "a/b", "", "tiny.key"])
def test_a_name_that_no_deployment_can_have_writes_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    result, _shown = have(monkeypatch, {"inventory_dir": str(tmp_path)}, deployment=name)
    assert result["failed"] and result["msg"].startswith(f"deployment {name!r}: ")
    assert list(tmp_path.iterdir()) == []
