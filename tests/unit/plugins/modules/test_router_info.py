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


def test_what_stands_in_the_way_is_reported_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "read", lambda name: {})
    monkeypatch.setattr(status, "version", lambda: (2, 6, 12))
    monkeypatch.setattr(router_info.listeners, "holders", lambda host, ports: [])
    mine = {"tls": True, "tls_own": False, "tls_certificate": "/nowhere/a.pem", "tls_key": "/nowhere/a.key"}
    server = {**SERVER, "url": "http://127.0.0.1:8000"}
    routes = [{**ROUTE, "servers": [server], "key_required": True, **mine}]
    assert "findings" not in call(router_info, routes=routes)
    done = call(router_info, routes=routes, obstacles=True)
    assert [(one["code"], one["where"]) for one in done["findings"]] == [
        ("no-certificate", "router_tls_certificate of tiny"),
        ("no-certificate", "router_tls_key of tiny"),
    ]
