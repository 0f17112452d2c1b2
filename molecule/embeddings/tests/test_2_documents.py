# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question about a document: Open WebUI embeds both by the embedding model, and the chat model gets what belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from people import PATIENCE_MS, SHOTS, Api, Person
from playwright.sync_api import expect
from testinfra.host import Host

KEYS = ("sk-minilm-0123456789abcdef", "sk-tiny-0123456789abcdef")
RESTART = "The machine is rebooted by systemctl reboot, which the operator runs as root, after all users were warned."
DOCUMENT = "\n\n".join(
    [
        "Bread is made of flour, water, salt and yeast. The dough rests for an hour and is baked until its crust is brown.",
        RESTART,
        "The garden needs water in the morning. Tomatoes want sun, and lettuce is sown in rows in the shade of a wall.",
    ]
)


def test_the_embedding_model_is_no_model_to_chat_with(api: Api) -> None:
    assert api.models() == {"tiny"}


def test_documents_are_embedded_by_it(api: Api) -> None:
    assert api.log_in() == 200
    config = api.ask("GET", "/api/v1/retrieval/embedding")[1]
    assert (config["RAG_EMBEDDING_ENGINE"], config["RAG_EMBEDDING_MODEL"]) == ("openai", "minilm")
    assert config["openai_config"]["url"].endswith(":8080/v1")


def test_a_person_asks_about_a_document_and_the_answer_comes_from_what_belongs_to_it(person: Person, api: Api) -> None:
    person.log_in()
    person.arrive()
    person.choose("tiny")
    person.attach("operations.txt", DOCUMENT)
    person.say("How do I restart the server?")
    person.page.screenshot(path=SHOTS / "document.png")
    answer = person.page.locator(".chat-assistant").last
    expect(answer.get_by_text("1 Source", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    # what stands behind "1 Source", as the chat has it
    name = person.page.url.rpartition("/")[2]
    assert api.log_in() == 200
    messages = api.ask("GET", f"/api/v1/chats/{name}")[1]["chat"]["history"]["messages"].values()
    ((source,),) = [one["sources"] for one in messages if one["role"] == "assistant"]
    assert source["source"]["name"] == "operations.txt"
    assert source["document"] == [RESTART], (
        "of three pieces the one that belongs to it, which has neither restart nor server in it"
    )


def test_its_key_is_in_no_unit_no_process_and_no_log(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    host = nodes["n1"]
    shown = host.check_output(
        "systemctl show fullrank-webui; systemctl cat fullrank-webui; ps axww; journalctl --no-pager -u fullrank-webui"
    )
    assert not [key for key in KEYS if key in shown]
    found = host.run(f"grep -rlF {KEYS[0]} /etc /run /var/lib/fullrank-webui").stdout.split()
    assert found == ["/etc/fullrank/webui.secret.env"]
    run = play("playbooks/webui.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert run.outcome["webui"]["n1"]["embedding"] == "minilm" and run.outcome["webui"]["n1"]["models"] == ["tiny"]
    assert not [key for key in KEYS if key in run.text]


def test_the_chat_is_checked_with_its_embedding_model(play: Callable[..., Any]) -> None:
    run = play("playbooks/verify.yml")
    assert run.rc == 0
    chat = {
        one["code"]: one["severity"] for one in run.outcome["verify"]["checks"] if one["where"] == "Open WebUI (n1)"
    }
    assert chat["chat-embedding"] == chat["chat-models"] == "pass"
