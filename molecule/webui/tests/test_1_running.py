# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: what people see in a browser, who may come in, and what a node's other users can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers import undocumented_sockets
from people import EMAIL, PASSWORD, SHOTS, Api, Person
from playwright.sync_api import Page, expect
from testinfra.host import Host

UNIT = "fullrank-webui.service"
KEY = "sk-other-0123456789abcdef"
SECRETS = "/etc/fullrank/webui.secret.env"


def pid(host: Host) -> int:
    return int(host.check_output(f"systemctl show --value --property=MainPID {UNIT}"))


def test_one_service_that_does_not_run_as_root(nodes: dict[str, Host]) -> None:
    host = nodes["n2"]
    assert host.service(UNIT).is_running and host.service(UNIT).is_enabled
    assert host.process.get(pid=pid(host)).user == "fullrank-webui"
    assert host.file("/var/lib/fullrank-webui").mode == 0o700


def test_others_reach_it_by_tls_only(nodes: dict[str, Host]) -> None:
    """Without a word about it in the inventory."""
    host = nodes["n2"]
    assert host.service("fullrank-webui-tls.service").is_running
    listening = host.check_output("ss -Hltn '( sport = :8080 or sport = :443 )'").split()
    assert "127.0.0.1:8080" in listening and "0.0.0.0:443" in listening
    assert "0.0.0.0:8080" not in listening
    assert undocumented_sockets(host) == []


def test_a_person_logs_in_chooses_the_model_asks_and_sees_the_answer_stream(page: Page, person: Person) -> None:
    elsewhere: set[str] = set()
    ours = (person.url, "data:", "blob:", person.url.replace("http", "ws", 1))
    page.on("request", lambda one: None if one.url.startswith(ours) else elsewhere.add(one.url))
    person.log_in()
    person.arrive()
    person.choose("tiny")
    lengths = person.say("Are all ranks up?")
    page.screenshot(path=SHOTS / "chat.png")
    assert len(lengths) >= 4, f"the answer did not stream: {lengths}"
    assert lengths == sorted(lengths)
    assert not elsewhere, "the browser asked the outside"


def test_a_wrong_password_is_refused(page: Page, person: Person) -> None:
    person.log_in("wrong")
    expect(page.get_by_text("incorrect", exact=False).first).to_be_visible()
    assert page.url.rstrip("/").endswith("/auth")
    assert not page.locator("#chat-input").count()


def test_an_unknown_person_cannot_sign_up(page: Page, person: Person, api: Api) -> None:
    page.goto(f"{person.url}/auth", wait_until="networkidle")
    page.locator("#email").wait_for()
    assert not page.get_by_text("Sign up").count()
    newcomer = {"name": "Mallory", "email": "mallory@example.com", "password": "letmein-letmein"}
    status, _ = api.ask("POST", "/api/v1/auths/signup", newcomer)
    assert status == 403
    assert api.ask("GET", "/api/models")[0] == 401
    assert api.log_in() == 200
    users = api.ask("GET", "/api/v1/users/")[1]["users"]
    assert [(one["email"], one["role"]) for one in users] == [(EMAIL, "admin")]


def test_a_second_run_changes_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = pid(nodes["n2"])
    run = play("site.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert pid(nodes["n2"]) == before
    assert run.outcome["webui"]["n2"]["models"] == ["tiny"]
    assert PASSWORD not in run.text
    # the chat is one of the endpoints that the chain's last step checks
    chat = {
        one["code"]: one["severity"] for one in run.outcome["verify"]["checks"] if one["where"] == "Open WebUI (n2)"
    }
    assert chat == dict.fromkeys(("chat-answers", "login-required", "chat-models", "chat-streaming"), "pass")


def test_secrets_are_in_files_of_mode_0600_and_nowhere_else(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    host = nodes["n2"]
    for path in (SECRETS, "/etc/fullrank/webui.key"):
        assert (host.file(path).mode, host.file(path).user) == (0o600, "root")
    key = host.file("/etc/fullrank/webui.key").content_string
    assert len(key) >= 32
    shown = host.check_output(f"systemctl show {UNIT}; systemctl cat {UNIT}; ps axww; journalctl --no-pager --boot")
    assert not [secret for secret in (PASSWORD, key) if secret in shown]
    found = host.run(f"grep -rlF {PASSWORD} /etc /run /opt/fullrank-webui /var/lib/fullrank-webui").stdout.split()
    assert found == [SECRETS]


def test_check_mode_tells_of_a_change_and_makes_none(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    host = nodes["n2"]
    before, unit = pid(host), host.file(f"/etc/systemd/system/{UNIT}").content_string
    changed = {"webui_env": {"DEFAULT_LOCALE": "de-DE"}, "webui_admin_password": "another-pass-word"}
    run = play("playbooks/webui.yml", "--check", "--diff", **changed)
    assert (run.rc, run.changed) == (0, 1)
    assert "+Environment=DEFAULT_LOCALE=de-DE" in run.text
    assert "(not shown, changed)" in run.text
    assert not [secret for secret in (PASSWORD, "another-pass-word") if secret in run.text]
    assert host.file(f"/etc/systemd/system/{UNIT}").content_string == unit
    assert pid(host) == before


def test_mistakes_are_reported_before_anything_changes(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    run = play(
        "playbooks/webui.yml", webui_admin_email="admin", webui_version="0.13", webui_tls_certificate="/etc/own.crt"
    )
    assert run.rc != 0 and run.changed == 0
    for message in (
        "webui_admin_email",
        "webui_version: 0.13 is not three numbers",
        "webui_requirements",
        "both or none",
    ):
        assert message in run.text
    path = "/srv/absent"
    run = play("playbooks/webui.yml", webui_version="0.12.2", webui_requirements=path)
    assert f"webui_requirements: there is no {path}" in run.text
    run = play("playbooks/webui.yml", webui_databse_url="postgresql://x")
    assert "write webui_database_url" in run.text
