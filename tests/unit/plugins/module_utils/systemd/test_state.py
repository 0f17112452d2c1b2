# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units are engines of ours."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state


def test_engines_that_still_have_their_former_name_count(tmp_path: Path) -> None:
    assert state.engine_units(tmp_path) == ["fullrank-rank@*.service"]
    for file in (
        "etc/fullrank/tiny.group.json",
        "etc/fullrank/tiny.group.secret.json",
        "etc/fullrank/new.supervisor.json",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "run/systemd/system/fullrank-adopted.service").touch()
    (tmp_path / "run/systemd/system/run-u1.service").touch()
    patterns = state.engine_units(tmp_path)
    units = ["fullrank-tiny.service", "fullrank-adopted.service", "fullrank-rank@new.service"]
    others = [
        "fullrank-tiny-group.service",
        "fullrank-webui.service",
        "fullrank-supervisor@new.service",
        "fullrank-new.service",
    ]
    assert [unit for unit in (*units, *others) if any(fnmatch(unit, one) for one in patterns)] == units


def test_deployments_of_a_node_are_known_by_our_names_and_by_what_is_in_a_file(tmp_path: Path) -> None:
    assert state.deployments(tmp_path) == []
    files = {
        "etc/systemd/system/fullrank-rank@chat.service": "[Unit]\n",
        "etc/systemd/system/fullrank-supervisor@half.service": "[Unit]\n",
        "etc/systemd/system/fullrank-router@gateway.service": "[Unit]\n",
        "etc/systemd/system/fullrank-webui.service": "[Unit]\n",
        "etc/systemd/system/other@x.service": "[Unit]\n",
        "etc/fullrank/code.supervisor.json": '{"deployment": "code"}',
        "etc/fullrank/copied.supervisor.json": '{"deployment": "code"}',
        "etc/fullrank/broken.supervisor.json": "{",
        "etc/fullrank/list.supervisor.json": "[]",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert state.deployments(tmp_path) == ["chat", "code", "half"]
