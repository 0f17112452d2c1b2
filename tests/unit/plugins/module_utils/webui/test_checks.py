# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of a web chat, from what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.checks import Answer
from ansible_collections.fullrank.serving.plugins.module_utils.webui import checks as webui_checks

PASSWORD, TOKEN = "correct-horse", "token-of-the-session"
CHAT = webui_checks.Chat("Open WebUI (chat)", "http://x", "admin@example.com", PASSWORD)


def backend(*models: str, error: str = "") -> dict[str, Any]:
    return {"name": "", "url": "http://gpu1:8000/v1", "models": list(models), "error": error}


class OpenWebui:
    """A stand-in: what it answers is its attributes."""

    def __init__(self) -> None:
        self.models = ["tiny", "other", "made-in-the-web"]
        self.health, self.sign_in, self.without_login = 200, 200, 401
        self.embeds_by = "minilm"
        self.events = ('{"choices": [{}]}',)

    def ask(self, url: str, body: dict[str, Any] | None, key: str | None) -> Answer:
        path = url.removeprefix(CHAT.url)
        if path == "/health":
            return Answer(self.health, error="" if self.health else "refused")
        if path == "/api/v1/auths/signin":
            assert body == {"email": CHAT.email, "password": PASSWORD}
            return Answer(self.sign_in, json.dumps({"token": TOKEN} if self.sign_in == 200 else {"detail": "no"}))
        if key != TOKEN:
            return Answer(self.without_login, "{}")
        if path == "/api/v1/retrieval/embedding":
            config = {"url": EMBEDDING["url"], "key": KEY}
            seen = {"RAG_EMBEDDING_ENGINE": "openai", "RAG_EMBEDDING_MODEL": self.embeds_by, "openai_config": config}
            return Answer(200, json.dumps(seen))
        if path == "/api/models":
            return Answer(200, json.dumps({"data": [{"id": name} for name in self.models]}))
        assert path == "/api/chat/completions" and body
        assert body["model"] == "tiny" and body["stream"]
        return Answer(200, chunks=self.events)


def found(
    one: OpenWebui, *backends: dict[str, Any], required: bool = True, only_bad: bool = True
) -> list[tuple[str, str]]:
    checks = webui_checks.look(CHAT, backends or [backend("tiny"), backend("other")], required, one.ask)
    assert PASSWORD not in json.dumps(checks) and TOKEN not in json.dumps(checks)
    return [(check["code"], check["severity"]) for check in checks if not only_bad or check["severity"] != "pass"]


def test_a_chat_that_is_as_it_should_be() -> None:
    names = [name for name, status in found(OpenWebui(), only_bad=False) if status == "pass"]
    assert names == ["chat-answers", "login-required", "chat-models", "chat-streaming"]


@pytest.mark.parametrize(
    ("name", "value", "findings"),
    [
        ("health", 503, [("chat-answers", "fail")]),
        ("health", 0, [("chat-answers", "fail")]),
        ("without_login", 200, [("login-required", "fail")]),
        ("models", ["tiny"], [("chat-models", "fail")]),
        ("events", ('{"error": {"detail": "EngineDeadError"}}',), [("chat-streaming", "fail")]),
        ("events", (), [("chat-streaming", "fail")]),
        ("sign_in", 500, [("chat-models", "fail")]),
        # changed in the web, switched off, or asked too often
        ("sign_in", 400, [("chat-models", "warn")]),
        ("sign_in", 403, [("chat-models", "warn")]),
        ("sign_in", 429, [("chat-models", "warn")]),
    ],
)
def test_what_is_wrong_is_one_finding(name: str, value: Any, findings: list[tuple[str, str]]) -> None:
    one = OpenWebui()
    setattr(one, name, value)
    assert found(one) == findings


@pytest.mark.parametrize(("required", "status"), [(True, "fail"), (False, "warn")])
def test_a_backend_that_does_not_answer_is_as_bad_as_the_inventory_declares(required: bool, status: str) -> None:
    behind = [backend("tiny"), backend(error="HTTP 401: its key is refused")]
    assert found(OpenWebui(), *behind, required=required) == [("chat-backend", status)]


def test_a_chat_with_nothing_behind_it_is_asked_for_nothing() -> None:
    assert found(OpenWebui(), backend(error="timed out")) == [("chat-backend", "fail")]


def test_the_password_is_not_in_the_text_of_a_chat() -> None:
    assert PASSWORD not in repr(CHAT)


EMBEDDING = {"model": "minilm", "url": "http://m/v1"}
KEY = "sk-of-the-embeddings"


def with_documents(one: OpenWebui) -> list[tuple[str, str]]:
    behind = [backend("tiny"), {**backend("minilm"), "task": "embed"}]
    checks = webui_checks.look(CHAT, behind, True, one.ask, EMBEDDING)
    assert KEY not in json.dumps(checks)
    return [(check["code"], check["severity"]) for check in checks]


def test_documents_are_embedded_by_the_model_of_the_inventory_and_it_is_none_to_chat_with() -> None:
    one = OpenWebui()
    assert ("chat-embedding", "pass") in with_documents(one) and ("chat-models", "pass") in with_documents(one)
    one.embeds_by = "sentence-transformers/all-MiniLM-L6-v2"
    assert ("chat-embedding", "fail") in with_documents(one)


def test_an_embedding_model_among_those_to_chat_with_is_found() -> None:
    one = OpenWebui()
    one.models.append("minilm")
    assert ("chat-models", "fail") in with_documents(one)
