# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module webui over a stand-in of systemd: first start, upgrade with a copy of the data, the way back, removal."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.webui import client, unit
from ansible_collections.fullrank.serving.plugins.modules import webui
from module_runner import call
from systemd_standin import Systemd

SECRETS = {
    "WEBUI_ADMIN_EMAIL": "admin@example.com",
    "WEBUI_ADMIN_PASSWORD": "correct-horse",
    "OPENAI_API_KEYS": "sk-key",
}


class Node:
    """``hosts``: the addresses that the service was started on, in order. ``login``: what a login of the administrator gives."""

    def __init__(self, folder: Path, systemd: Systemd) -> None:
        self.folder, self.systemd = folder, systemd
        self.data, self.backups = folder / "data", folder / "backups"
        self.unit, self.secrets = Path(unit.UNIT), Path(unit.SECRETS)
        self.hosts: list[str] = []
        self.login = 200

    def wish(self, version: str = "0.12.4", **args: Any) -> dict[str, Any]:
        wish = {
            "version": version,
            "program": f"/opt/{version}/bin/open-webui",
            "data": str(self.data),
            "backups": str(self.backups),
            "host": "192.0.2.20",
            "port": 1,
            "secrets": SECRETS,
            "start_timeout": 0,
        }
        return call(webui, **{**wish, **args})

    def broken(self, version: str) -> None:
        self.systemd.broken = lambda text: f"Open WebUI {version}" in text

    def health(self, url: str) -> str:
        self.hosts.append(url.split("/")[2].rpartition(":")[0])
        return ""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    for name, path in (
        ("UNIT", "units/fullrank-webui.service"),
        ("SECRETS", "etc/webui.env"),
        ("KEY", "etc/webui.key"),
    ):
        monkeypatch.setattr(unit, name, str(tmp_path / path))
    systemd = Systemd(tmp_path / "units")
    systemd.install(monkeypatch)
    one = Node(tmp_path, systemd)
    monkeypatch.setattr(webui.pwd, "getpwnam", lambda _: SimpleNamespace(pw_uid=0, pw_gid=0))
    monkeypatch.setattr(webui.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(client, "unhealthy", one.health)
    monkeypatch.setattr(client, "log_in", lambda *_: one.login)
    return one


def test_the_first_start_is_on_the_loopback_until_the_administrator_has_logged_in(node: Node) -> None:
    result = node.wish()
    assert (result["changed"], result["upgraded_from"]) == (True, "")
    assert node.hosts == ["127.0.0.1", "192.0.2.20"]
    assert "--host 192.0.2.20" in node.unit.read_text()
    assert json.loads((node.data / ".fullrank.json").read_text()) == {"version": "0.12.4", "database": "SQLite"}
    again = node.wish()
    assert not again["changed"] and len(node.hosts) == 2


def test_an_administrator_who_cannot_log_in_keeps_it_from_others(node: Node) -> None:
    node.login = 400
    result = node.wish()
    assert result["failed"] and "the administrator cannot log in (HTTP 400)" in result["msg"]
    assert node.hosts == ["127.0.0.1"] and node.systemd.running == {} and not node.unit.exists()


def test_secrets_are_in_a_private_file_and_nowhere_else(node: Node) -> None:
    result = node.wish()
    assert "sk-key" in node.secrets.read_text() and node.secrets.stat().st_mode & 0o777 == 0o600
    assert "sk-key" not in node.unit.read_text()
    assert not any(secret in json.dumps(result["diff"]) for secret in SECRETS.values() if "@" not in secret)


def test_a_changed_secret_restarts_it_with_the_same_signing_key(node: Node) -> None:
    node.wish()
    key = Path(unit.KEY).read_text()
    assert node.wish(secrets={**SECRETS, "OPENAI_API_KEYS": "sk-other"})["changed"]
    assert Path(unit.KEY).read_text() == key and "sk-other" in node.secrets.read_text()


def test_an_upgrade_copies_the_data_first(node: Node) -> None:
    node.wish()
    (node.data / "webui.db").write_text("chats of before")
    result = node.wish("0.13.0")
    assert result["changed"] and result["upgraded_from"] == "0.12.4"
    assert "chats of before" in [path.read_text() for path in Path(result["backup"]).rglob("webui.db")]


def test_an_upgrade_that_does_not_get_well_goes_back_with_the_data(node: Node) -> None:
    node.wish()
    (node.data / "webui.db").write_text("chats of before")
    before = node.unit.read_text()
    node.broken("0.13.0")
    result = node.wish("0.13.0")
    assert (
        result["failed"]
        and "The data is as it was before" in result["msg"]
        and "the last line of its log" in result["msg"]
    )
    assert node.unit.read_text() == before and node.systemd.running == {"fullrank-webui.service": before}
    assert (node.data / "webui.db").read_text() == "chats of before"


@pytest.mark.parametrize(
    ("version", "secrets", "message"),
    [
        ("0.12.3", SECRETS, "its database cannot go back"),
        ("0.12.4", {**SECRETS, "DATABASE_URL": "postgresql://x/y"}, "does not move them into PostgreSQL"),
        ("0.12.4", {**SECRETS, "TWO": "lines\nof text"}, "webui secrets: "),
    ],
)
def test_what_cannot_be_is_refused_before_it_stops(
    node: Node, version: str, secrets: dict[str, str], message: str
) -> None:
    node.wish()
    running = dict(node.systemd.running)
    assert message in node.wish(version, secrets=secrets)["msg"]
    assert node.systemd.running == running


def test_check_mode_starts_and_writes_nothing(node: Node) -> None:
    assert node.wish(check_mode=True)["changed"]
    assert node.systemd.calls == [] and node.hosts == [] and not node.data.exists() and not Path(unit.KEY).exists()


def test_absent_keeps_data_and_key(node: Node) -> None:
    node.wish()
    assert node.wish(state="absent", check_mode=True)["changed"] and node.unit.exists()
    result = node.wish(state="absent")
    assert result["changed"] and not node.unit.exists() and not node.secrets.exists()
    assert (node.data / ".fullrank.json").exists() and Path(unit.KEY).exists()
    assert not node.wish(state="absent")["changed"]
