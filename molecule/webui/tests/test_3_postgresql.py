# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL instead of SQLite: chats are in it, it is copied before an upgrade, and given back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from people import Api
from testinfra.host import Host

DATA = "/data/webui"
URL = "postgresql://webui:pass%40word-1234@127.0.0.1/webui"
CHECKOUT = Path(__file__).resolve().parents[3]
LISTS = {"0.12.4": "roles/webui/files", "0.12.99": ".cache/webui"}
INSTALL = """
set -e
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql postgresql-17-pgvector >/dev/null
systemctl start postgresql
su postgres -c psql <<'SQL'
CREATE ROLE webui LOGIN PASSWORD 'pass@word-1234';
CREATE DATABASE webui OWNER webui;
\\c webui
CREATE EXTENSION vector;
SQL
"""


def wanted(version: str) -> dict[str, Any]:
    requirements = str(CHECKOUT / LISTS[version] / f"open-webui-{version}.txt")
    return {
        "webui_version": version,
        "webui_requirements": requirements,
        "webui_database_url": URL,
        "webui_data_dir": DATA,
    }


def test_data_in_sqlite_is_not_left_behind_in_silence(play: Callable[..., Any]) -> None:
    run = play("playbooks/webui.yml", **wanted("0.12.4") | {"webui_data_dir": "/var/lib/fullrank-webui"})
    assert run.rc != 0 and "Open WebUI does not move them into PostgreSQL" in run.text


def test_it_runs_on_postgresql(nodes: dict[str, Host], play: Callable[..., Any], api: Api) -> None:
    host = nodes["n2"]
    host.check_output(INSTALL)
    plain = play("playbooks/webui.yml", **wanted("0.12.4"), webui_tls=False)
    assert plain.rc == 0
    assert not host.service("fullrank-webui-tls.service").exists  # not wanted any more
    assert "127.0.0.1:8080" in host.check_output("ss -Hltn sport = :8080"), "plain HTTP is for the machine itself"
    run = play("playbooks/webui.yml", **wanted("0.12.4"))
    assert run.rc == 0
    assert "pass@word" not in run.text and "pass%40word" not in run.text
    assert api.log_in() == 200
    assert api.ask("POST", "/api/v1/chats/new", {"chat": {"title": "mine", "messages": [], "history": {}}})[0] == 200
    assert host.check_output("su postgres -c \"psql -At webui -c 'SELECT title FROM chat'\"") == "mine"
    assert not host.file(f"{DATA}/webui.db").exists
    again = play("playbooks/webui.yml", **wanted("0.12.4"))
    assert (again.rc, again.changed) == (0, 0)


def test_an_upgrade_that_fails_gives_the_database_back(
    nodes: dict[str, Host], play: Callable[..., Any], api: Api
) -> None:
    host, chats = nodes["n2"], api.chats()
    run = play("playbooks/webui.yml", **wanted("0.12.99"))
    assert run.rc != 0 and "The data is as it was before" in run.text
    tables = host.check_output("su postgres -c \"psql -At webui -c '\\dt'\"")
    assert "|chat|" in tables and "left_behind" not in tables
    run = play("playbooks/webui.yml", **wanted("0.12.4"))
    assert (run.rc, run.changed) == (0, 0)
    assert api.chats() == chats
