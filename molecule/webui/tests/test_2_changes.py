# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes in the inventory applies, chats stay; an upgrade keeps them, and one that fails gives everything back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from people import NET, SHOTS, Api, Person
from playwright.sync_api import Page
from testinfra.host import Host

UNIT = "fullrank-webui.service"
DATA = "/var/lib/fullrank-webui"
KEY = "sk-other-0123456789abcdef"
BOTH = "{{ lookup('fullrank.serving.endpoints') }}"
LIST = str(Path(__file__).resolve().parents[3] / "roles/webui/files/open-webui-0.12.4.txt")
NEWER = {"webui_backends": BOTH, "webui_version": "0.12.4", "webui_requirements": LIST}


def backups(host: Host) -> list[str]:
    return str(host.run(f"ls {DATA}.backups").stdout).split()


def test_a_new_backend_is_there_old_chats_are_too_and_one_that_does_not_answer_is_named(
    nodes: dict[str, Host], play: Callable[..., Any], page: Page, person: Person, api: Api
) -> None:
    chats = api.chats()
    assert chats and api.models() == {"tiny"}
    key = nodes["n2"].file("/etc/fullrank/webui.key").content_string
    dead = f"http://{NET}.11:8999/v1"
    wanted = [
        {"url": f"http://{NET}.11:8000/v1"},
        {"url": dead, "name": "dead"},
        {"url": f"http://{NET}.12:8000/v1", "key": "no"},
        {"url": f"http://{NET}.12:8000/v1", "key": KEY},
    ]
    run = play("playbooks/webui.yml", "--diff", webui_backends=wanted)
    assert run.rc != 0 and run.changed == 1
    assert f"dead ({dead}: " in run.text and "HTTP 401: its key is refused" in run.text
    assert KEY not in run.text
    assert api.models() == {"tiny", "other"}  # it runs, and the others do not wait for the dead one
    assert api.chats() == chats
    assert nodes["n2"].file("/etc/fullrank/webui.key").content_string == key
    person.log_in()
    person.arrive()
    page.goto(f"{person.url}/c/{chats[0]}")
    page.get_by_text("Are all ranks up?").first.wait_for()
    page.goto(person.url)
    person.arrive()
    person.choose("other")
    assert person.say("And you?"), "the model behind the key answered nothing"
    # the endpoint check finds the same; as bad as the inventory wants it
    for required, rc, status in ((True, 2, "fail"), (False, 0, "warn")):
        checked = play("playbooks/verify.yml", webui_backends=wanted, webui_backends_required=required)
        assert (checked.rc, checked.changed) == (rc, 0)
        assert [one["severity"] for one in checked.outcome["verify"]["checks"] if one["code"] == "chat-backend"] == [
            status
        ] * 2


def test_a_setting_that_keeps_it_from_starting_is_taken_back(
    nodes: dict[str, Host], play: Callable[..., Any], api: Api
) -> None:
    run = play(
        "playbooks/webui.yml",
        webui_backends=BOTH,
        webui_env={"PGVECTOR_INITIALIZE_MAX_VECTOR_LENGTH": "many"},
    )
    assert run.rc != 0
    assert "What ran before was started again and answers" in run.text
    assert "invalid literal for int()" in run.text  # its own message
    assert api.log_in() == 200


def test_an_upgrade_copies_the_data_first(nodes: dict[str, Host], play: Callable[..., Any], api: Api) -> None:
    chats = api.chats()
    before = backups(nodes["n2"])
    run = play("playbooks/webui.yml", **NEWER)
    assert run.rc == 0
    assert api.ask("GET", "/api/config")[1]["version"] == "0.12.4"
    (backup,) = set(backups(nodes["n2"])) - set(before)
    assert backup.endswith("-0.12.3")
    copy = nodes["n2"].file(f"{DATA}.backups/{backup}/data/webui.db")
    assert copy.exists and nodes["n2"].file(f"{DATA}.backups").mode == 0o700
    assert api.chats() == chats


def test_an_older_version_is_refused_once_a_newer_one_used_the_data(
    nodes: dict[str, Host], play: Callable[..., Any], api: Api
) -> None:
    run = play("playbooks/webui.yml", webui_backends=BOTH)  # 0.12.3 again
    assert run.rc != 0 and "0.12.3 is older: its database cannot go back" in run.text
    assert api.ask("GET", "/api/config")[1]["version"] == "0.12.4"


def test_an_upgrade_that_fails_gives_version_and_data_back(
    nodes: dict[str, Host], play: Callable[..., Any], api: Api
) -> None:
    chats = api.chats()
    broken = NEWER | {
        "webui_version": "0.12.99",
        "webui_requirements": LIST.replace("roles/webui/files", ".cache/webui").replace("0.12.4", "0.12.99"),
    }
    run = play("playbooks/webui.yml", **broken)
    assert run.rc != 0
    assert "Open WebUI 0.12.99: it ended" in run.text
    assert "The data is as it was before" in run.text and "What ran before was started again and answers" in run.text
    assert "stand-in of a broken version: the database is gone now" in run.text
    run = play("playbooks/webui.yml", **NEWER)
    assert (run.rc, run.changed) == (0, 0)
    assert api.ask("GET", "/api/config")[1]["version"] == "0.12.4"
    assert api.chats() == chats


def test_an_upgrade_that_was_cut_off_is_undone_by_going_back(
    nodes: dict[str, Host], play: Callable[..., Any], api: Api
) -> None:
    """As a controller that dies leaves it: the copy is made, the database is broken, nothing runs."""
    host, chats = nodes["n2"], api.chats()
    host.check_output(f"systemctl stop {UNIT}")
    newest = f"{DATA}.backups/20990101T000000-0.12.4"
    host.check_output(
        f"mkdir -p {newest} && cp -a {DATA} {newest}/data && rm -rf {newest}/data/cache {newest}/data/static"
    )
    host.check_output(f"cp /etc/systemd/system/{UNIT} /etc/fullrank/webui.secret.env {newest}")
    host.check_output(
        f"""printf '{{"backup": "{newest}"}}' > {DATA}.backups/pending.json; echo broken > {DATA}/webui.db"""
    )
    run = play("playbooks/webui.yml", **NEWER)
    assert (run.rc, run.changed) == (0, 1)
    assert api.chats() == chats
    assert not host.file(f"{DATA}.backups/pending.json").exists


def test_it_is_back_after_it_was_killed(nodes: dict[str, Host], play: Callable[..., Any], api: Api) -> None:
    host = nodes["n2"]
    unit = host.check_output(f"systemctl show --value --property=Restart,WantedBy {UNIT}").split()
    assert unit == ["on-failure", "multi-user.target"]
    before = host.check_output(f"systemctl show --value --property=MainPID {UNIT}")
    host.check_output(f"kill -9 {before}")
    run = play("playbooks/webui.yml", **NEWER)
    assert run.rc == 0
    assert api.log_in() == 200


def test_tls_by_an_nginx_of_its_own(nodes: dict[str, Host], play: Callable[..., Any], page: Page) -> None:
    host = nodes["n2"]
    host.check_output("apt-get install -y -qq --no-install-recommends nginx >/dev/null")
    host.check_output("systemctl start nginx && curl -fsS http://127.0.0.1/ | grep -q 'Welcome to nginx'")
    site = host.file("/etc/nginx/nginx.conf").content_string
    secure = {**NEWER, "webui_url": f"https://{NET}.12"}
    run = play("playbooks/webui.yml", "--diff", **secure)
    assert run.rc == 0
    assert run.outcome["webui"]["n2"]["url"] == f"https://{NET}.12"
    assert "PRIVATE KEY" not in run.text
    assert host.file("/etc/fullrank/webui-tls.key").mode == 0o600
    names = host.check_output("openssl x509 -in /etc/fullrank/webui-tls.crt -noout -ext subjectAltName")
    assert f"IP Address:{NET}.12" in names and "DNS:n2" in names
    assert "127.0.0.1:8080" in host.check_output("ss -Hltn sport = :8080")  # the port without TLS is closed
    # the user's own nginx goes on
    assert "Welcome to nginx" in host.check_output("curl -fsS http://127.0.0.1/")
    assert host.file("/etc/nginx/nginx.conf").content_string == site
    person = Person(page, f"https://{NET}.12")
    person.log_in()
    person.arrive()
    person.choose("tiny")
    # an answer in parts, however few of them a busy machine shows
    assert len(person.say("Do you stream through TLS?")) >= 2
    page.screenshot(path=SHOTS / "tls.png")
    again = play("playbooks/verify.yml", **secure)  # through the nginx, whose certificate no client knows
    assert again.rc == 0 and "chat-streaming" in again.text


def test_your_own_certificate_and_a_new_one_later(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    host = nodes["n2"]
    files = "-keyout /etc/ssl/private/own.key -out /etc/ssl/own.crt"
    make = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc {files} -days 9"
    secure = {
        **NEWER,
        "webui_url": f"https://{NET}.12",
        "webui_tls_certificate": "/etc/ssl/own.crt",
        "webui_tls_key": "/etc/ssl/private/own.key",
    }
    assert "is not on n2" in play("playbooks/webui.yml", **secure).text
    served = f"echo | openssl s_client -connect {NET}.12:443 2>/dev/null | openssl x509 -noout -subject"
    for name in ("one", "two"):
        host.check_output(f"{make} -subj /CN={name} 2>/dev/null")
        run = play("playbooks/webui.yml", **secure)
        assert run.rc == 0 and run.changed >= 1
        assert name in host.check_output(served)
    assert play("playbooks/webui.yml", **secure).changed == 0
