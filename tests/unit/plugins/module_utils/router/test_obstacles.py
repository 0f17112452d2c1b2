# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of routers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import obstacles
from router_samples import SMG, WITH_KEYS

ROUTE = {**WITH_KEYS, "servers": [{"name": "n1", "url": "http://127.0.0.1:8000", "ready": "http://127.0.0.1:1/ready"}]}
NEW = (3, 0, 11)


def codes(
    route: dict[str, Any], listeners: list[dict[str, Any]] | None = None, version: tuple[int, ...] = NEW
) -> list[str]:
    return [one["code"] for one in obstacles.found([route], listeners or [], version)]


def test_ports_that_somebody_else_holds() -> None:
    route = {**ROUTE, "balancer": SMG}
    assert set(obstacles.ports(route)) == {8080, 28080, 18080, 18081, 18082}
    own = {"port": 8080, "pid": 7, "command": "haproxy", "unit": "fullrank-router@tiny.service"}
    smg = {"port": 18080, "pid": 9, "command": "smg", "unit": "fullrank-smg@tiny.service"}
    other = {"port": 28080, "pid": 8, "command": "python3", "unit": ""}
    (one,) = obstacles.found([route], [own, smg, other], NEW)
    assert one["where"] == "router_metrics_port of tiny" and "python3 (pid 8)" in one["message"]


def test_names_that_this_node_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert codes(ROUTE) == ["name-not-resolved"]


@pytest.mark.parametrize(
    ("version", "found"),
    [((), []), ((2, 3, 9), ["haproxy-version"]), ((2, 4, 30), ["haproxy-version"]), ((2, 6, 12), []), ((3, 0), [])],
)
def test_versions_of_haproxy(version: tuple[int, ...], found: list[str]) -> None:
    assert codes(ROUTE, version=version) == found


def test_keys_and_certificates_that_are_not_there(tmp_path: Path) -> None:
    assert codes({**ROUTE, "key_required": True, "key": False}) == ["no-key"]
    mine = {
        **ROUTE,
        "tls": True,
        "tls_own": False,
        "tls_certificate": str(tmp_path / "c"),
        "tls_key": str(tmp_path / "k"),
    }
    assert codes(mine) == ["no-certificate", "no-certificate"]
    (tmp_path / "c").write_text("")
    (tmp_path / "k").write_text("")
    assert codes(mine) == [] and codes({**ROUTE, "tls": True}) == []
