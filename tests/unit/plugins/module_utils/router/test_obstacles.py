# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of routers."""

from __future__ import annotations

import subprocess
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
    assert codes(mine) == ["bad-certificate"] and codes({**ROUTE, "tls": True}) == []


def made(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    """A certificate and its key, by openssl."""
    certificate, own = folder / f"{name}.crt", folder / f"{name}.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={name}"]
    subprocess.run([*words, "-keyout", str(own), "-out", str(certificate), *more], check=True, capture_output=True)
    return certificate, own


def test_a_certificate_that_no_server_can_show_with_its_key(tmp_path: Path) -> None:
    certificate, own = made(tmp_path, "a", "-noenc")
    _unused, other = made(tmp_path, "b", "-noenc")
    closed, its_key = made(tmp_path, "c", "-passout", "pass:secret")

    def why(certificate: Path, own: Path) -> str:
        route = {**ROUTE, "tls": True, "tls_own": False, "tls_certificate": str(certificate), "tls_key": str(own)}
        return "".join(one["message"].rpartition(": ")[2] for one in obstacles.found([route], [], NEW))

    assert why(certificate, own) == ""
    assert why(certificate, other) == "the key is another certificate's"
    assert why(closed, its_key) == "the key has a passphrase"
    assert why(own, certificate) == "one of them is no PEM file, or has no such part"


def test_before_engines_are_started_a_key_can_still_be_made_and_a_unit_of_ours_leaves_its_port() -> None:
    route = {**ROUTE, "key_required": True, "key": False}
    engine = {"port": 8080, "pid": 7, "command": "vllm", "unit": "fullrank-rank@other.service"}
    (one,) = obstacles.before_engines([route], [engine], NEW)
    assert (one["severity"], one["code"], one["where"]) == ("pass", "router", "router of tiny")
    foreign = {**engine, "unit": "nginx.service"}
    assert [one["code"] for one in obstacles.before_engines([route], [foreign], NEW)] == ["port-in-use"]
    assert [one["code"] for one in obstacles.before_engines([route], [], (2, 3))] == ["haproxy-version"]
