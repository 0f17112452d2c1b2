# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Open WebUI requires a login, and shows the models of its backends. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, passed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.checks import REFUSED, Answer
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.open_paths import Ask
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.tasks import GENERATE

ENOUGH_EVENTS = 3
"""Of a streamed answer: the model may think for minutes, and Open WebUI's own settings may forbid a short answer."""


@dataclass(frozen=True)
class Chat:
    """name: for people. url: of the page that browsers open. email, password: of its administrator."""

    name: str
    url: str
    email: str
    password: str = field(repr=False)


def look(
    chat: Chat,
    backends: Sequence[Mapping[str, Any]],
    required: bool,
    ask: Ask,
    embedding: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """All checks of a chat.

    backends: its endpoints as found beforehand, each with name, url, models (ids), error (empty where it answers) and task
    (generate where there is none). required: whether each of them must answer. embedding: model and url for documents.
    """
    behind = _backends(chat, backends, required)
    health = ask(f"{chat.url}/health", None, None)
    if health.status != 200:
        return [failed("chat-answers", chat.name, f"{chat.url}/health: {_summary(health)}", _LOOK), *behind]
    found = [passed("chat-answers", chat.name, chat.url), _without_login(chat, ask), *behind]
    entered = ask(f"{chat.url}/api/v1/auths/signin", {"email": chat.email, "password": chat.password}, None)
    token = str(entered.json.get("token") or "")
    if not token:
        return [*found, _not_entered(chat, entered)]
    names = _names(ask(f"{chat.url}/api/models", None, token))
    found += _embedding(chat, embedding, token, ask) if embedding else []
    chats = [one for one in backends if one.get("task", GENERATE) == GENERATE]
    wanted = list(dict.fromkeys(name for one in chats for name in one["models"]))
    other = {name for one in backends if one not in chats for name in one["models"]} - set(wanted)
    if shown := sorted(other & set(names)):
        what = f"it offers {', '.join(shown)} to chat with, which does not generate"
        found.append(failed("chat-models", chat.name, what, _REDEPLOY))
        return found
    if missing := [name for name in wanted if name not in names]:
        there = ", ".join(names) or "none"
        found.append(
            failed("chat-models", chat.name, f"it does not show {', '.join(missing)}; it shows {there}", _REDEPLOY)
        )
        return found
    found.append(passed("chat-models", chat.name, ", ".join(wanted) or "none"))
    return [*found, *([_streaming(chat, wanted[0], token, ask)] if wanted else [])]


def _backends(chat: Chat, backends: Sequence[Mapping[str, Any]], required: bool) -> list[Finding]:
    verdict = failed if required else warned
    return [
        verdict(
            "chat-backend",
            chat.name,
            f"it does not reach {one['name'] or one['url']} ({one['url']}: {one['error']})",
            "see with playbooks/status.yml whether it runs; webui_backends lists what is behind the chat",
        )
        for one in backends
        if one["error"]
    ]


def _embedding(chat: Chat, embedding: Mapping[str, Any], token: str, ask: Ask) -> list[Finding]:
    """Whether documents are embedded by the model of the inventory. The answer has its key, which is not repeated."""
    answer = ask(f"{chat.url}/api/v1/retrieval/embedding", None, token)
    seen = answer.json
    url = str((seen.get("openai_config") or {}).get("url") or "")
    same = (seen.get("RAG_EMBEDDING_ENGINE"), seen.get("RAG_EMBEDDING_MODEL"), url) == (
        "openai",
        embedding["model"],
        embedding["url"],
    )
    if answer.status == 200 and same:
        return [passed("chat-embedding", chat.name, f"documents are embedded by {embedding['model']}")]
    there = f"{seen.get('RAG_EMBEDDING_MODEL') or 'nothing'} at {url or 'no address'}"
    what = (
        f"documents are embedded by {there}, not by {embedding['model']}" if answer.status == 200 else _summary(answer)
    )
    return [failed("chat-embedding", chat.name, what, _REDEPLOY)]


def _without_login(chat: Chat, ask: Ask) -> Finding:
    answer = ask(f"{chat.url}/api/models", None, None)
    if answer.status in REFUSED:
        return passed("login-required", chat.name, f"HTTP {answer.status} without a login")
    return failed("login-required", chat.name, f"{_summary(answer)} without a login, and not 401", _REDEPLOY)


def _not_entered(chat: Chat, answer: Answer) -> Finding:
    """The password of the inventory is the first one: who changed it in the web did nothing wrong."""
    if answer.status in (400, 403, 429):
        return warned(
            "chat-models",
            chat.name,
            f"not requested: {chat.email} cannot log in with the inventory's password ({_summary(answer)})",
            "if it was changed in the web, write the new one into webui_admin_password",
        )
    return failed("chat-models", chat.name, f"a login is not answered: {_summary(answer)}", _LOOK)


def _streaming(chat: Chat, model: str, token: str, ask: Ask) -> Finding:
    body = {"model": model, "messages": [{"role": "user", "content": "ping"}], "stream": True}
    answer = ask(f"{chat.url}/api/chat/completions", body, token)
    if answer.status == 200 and answer.chunks and not any('"error"' in chunk for chunk in answer.chunks):
        return passed("chat-streaming", chat.name, f"{model} answers")
    return failed("chat-streaming", chat.name, f"{model}: {' '.join(answer.chunks)[:200] or _summary(answer)}", _LOOK)


def _names(answer: Answer) -> list[str]:
    return [str(one.get("id")) for one in answer.json.get("data") or [] if isinstance(one, dict)]


def _summary(answer: Answer) -> str:
    return answer.error or f"HTTP {answer.status} {answer.text.strip()[:200]}".strip()


_LOOK = "read journalctl -u fullrank-webui on its host"
_REDEPLOY = "it does not run with the settings of the inventory: run playbooks/webui.yml"
