# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node's routers is what their watchers wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from ansible_collections.fullrank.serving.plugins.modules import router_info
from module_runner import call

ROUTES = [{"name": "tiny", "url": "http://10.0.0.1:8000"}, {"name": "other", "url": "http://10.0.0.1:8001"}]


def test_a_router_that_runs_and_one_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "run_folder", lambda name: str(tmp_path / name))
    (tmp_path / "tiny").mkdir()
    report = {"ready": True, "servers": {"tiny": {"ready": True, "summary": "ready"}}, "error": "", "config": "x"}
    (tmp_path / "tiny/status.json").write_text(json.dumps(report))
    done = call(router_info, routes=ROUTES)
    assert done["changed"] is False
    assert done["routers"]["tiny"] == {
        "url": "http://10.0.0.1:8000",
        "runs": True,
        "ready": True,
        "servers": report["servers"],
    }
    assert done["lines"] == [
        "tiny is found at http://10.0.0.1:8000/v1 (tiny ready)",
        "other is found at http://10.0.0.1:8001/v1 (its router does not run)",
    ]
