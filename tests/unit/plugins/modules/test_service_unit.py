# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_unit over a stand-in of systemd: started from its files once, and back when the new ones do not start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER
from ansible_collections.fullrank.serving.plugins.modules import service_unit
from module_runner import call
from systemd_standin import Systemd

NAME = "fullrank-tls"
UNIT = "[Service]\nExecStart=/usr/sbin/nginx\n"
HEAD = f"# {HEADER}\n"


class Node:
    def __init__(self, folder: Path, systemd: Systemd) -> None:
        self.folder, self.systemd = folder, systemd
        self.config, self.certificate = folder / "tls.conf", folder / "tls.crt"
        self.unit = folder / "units/fullrank-tls.service"

    def wish(self, unit: str = UNIT, config: str = "listen 443;\n", **args: Any) -> dict[str, Any]:
        files = [{"path": str(self.config), "content": config}]
        return call(service_unit, name=NAME, unit=unit, files=files, watch=[str(self.certificate)], **args)

    @property
    def starts(self) -> int:
        return self.systemd.calls.count(f"restart {NAME}.service")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    systemd = Systemd(tmp_path / "units")
    systemd.units.mkdir()
    systemd.install(monkeypatch)
    monkeypatch.setattr(service_unit, "UNITS", str(systemd.units))
    monkeypatch.setattr(service_unit, "RUNTIME", str(tmp_path / "run"))
    monkeypatch.setattr(service_unit, "SETTLED_S", 0)
    return Node(tmp_path, systemd)


def test_started_once_from_its_files(node: Node) -> None:
    assert node.wish()["changed"]
    assert node.unit.read_text() == HEAD + UNIT and node.config.read_text() == HEAD + "listen 443;\n"
    assert f"{NAME}.service" in node.systemd.enabled and node.starts == 1
    assert not node.wish()["changed"] and node.starts == 1


@pytest.mark.parametrize("what", ["config", "certificate", "start"])
def test_restarted_when_what_runs_was_started_from_something_else(node: Node, what: str) -> None:
    node.wish()
    if what == "certificate":
        node.certificate.write_text("new")
    if what == "start":  # a run was interrupted between writing and starting
        (node.folder / f"run/{NAME}/spec-hash").write_text("old\n")
    assert node.wish(config="listen 8443;\n" if what == "config" else "listen 443;\n")["changed"]
    assert node.starts == 2


def test_check_mode_shows_and_changes_nothing(node: Node) -> None:
    result = node.wish(check_mode=True)
    assert result["changed"] and any(one.get("after") == HEAD + "listen 443;\n" for one in result["diff"])
    assert node.systemd.calls == [] and not node.config.exists()


def test_files_that_do_not_start_are_taken_back_with_the_service(node: Node) -> None:
    node.wish()
    node.systemd.broken = lambda text: "bad" in text
    result = node.wish(unit="[Service]\nExecStart=bad\n", config="worse\n")
    assert result["failed"] and "the last line of its log" in result["msg"]
    assert node.unit.read_text() == HEAD + UNIT and node.config.read_text() == HEAD + "listen 443;\n"
    assert node.systemd.running == {f"{NAME}.service": HEAD + UNIT}, "what ran before runs again"


def test_a_first_start_that_fails_leaves_nothing(node: Node) -> None:
    node.systemd.broken = lambda _: True
    assert node.wish()["failed"]
    assert not node.unit.exists() and not node.config.exists() and node.systemd.enabled == set()


def test_absent_removes_unit_and_files(node: Node) -> None:
    node.wish()
    assert node.wish(state="absent", check_mode=True)["changed"] and node.unit.exists()
    assert node.wish(state="absent")["changed"]
    assert not node.unit.exists() and not node.config.exists() and node.systemd.running == {}
    assert not node.wish(state="absent")["changed"]


def test_a_configuration_of_nginx_gets_the_frame_of_an_instance(node: Node) -> None:
    files = [{"path": str(node.config), "content": "    server {}\n", "nginx": True}]
    assert call(service_unit, name=NAME, unit=UNIT, files=files)["changed"]
    text = node.config.read_text()
    assert text.startswith(HEAD + "user www-data;\n") and text.endswith("    server {}\n}\n")
    assert f"pid {node.folder}/run/{NAME}/nginx.pid;" in text and f" /var/lib/{NAME}/body;" in text


def test_a_unit_text_is_required() -> None:
    assert "unit" in call(service_unit, name=NAME)["msg"]
