# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node's routers is what their programs tell."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import status
from ansible_collections.fullrank.serving.plugins.modules import router_info
from module_runner import call
from router_samples import ROUTE, SERVER


def test_a_router_that_runs_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = {"tiny": {"config": "x", "servers": {"n1": True}}}
    monkeypatch.setattr(status, "read", lambda name: reported.get(name, {}))
    routes = [{**ROUTE, "servers": [SERVER]}, {**ROUTE, "name": "other", "url": "https://192.0.2.9:8081"}]
    done = call(router_info, routes=routes)
    assert done["changed"] is False
    assert done["routers"]["tiny"]["servers"] == {"n1": {"ready": True, "summary": "ready"}}
    assert done["lines"] == [
        "tiny is found at http://192.0.2.9:8080/v1 (n1 ready)",
        "other is found at https://192.0.2.9:8081/v1 (its router does not run)",
    ]
