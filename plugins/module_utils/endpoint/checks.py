# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client gets at the endpoints of a deployment. Private to this collection.

An endpoint is a URL without ``/v1`` that serves a model, or that must not. The answers are judged here; sending a request is
one function (`Ask`), so that the rules can be tested without a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    FAIL,
    PASS,
    WARN,
    Finding,
    failed,
    finding,
    passed,
    skipped,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import open_paths, tasks, unanswered
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.answer import wrong
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.open_paths import Ask

ALONE, BEHIND, ROUTER = "alone", "behind_router", "router"
"""Where an endpoint stands: an engine that clients reach, one that only a router should reach, a router."""

OPTIONS: dict[str, dict[str, Any]] = {
    "endpoints": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "serves": {"type": "bool", "default": True},
            "model": {"type": "str", "default": ""},
            "api_key": {"type": "str", "no_log": True},
            "engine": {"type": "str", "default": ""},
            "task": {"type": "str", "choices": list(tasks.ASKED), "default": tasks.GENERATE},
            "place": {"type": "str", "choices": [ALONE, BEHIND, ROUTER], "default": ALONE},
            "ready": {"type": "str", "default": ""},
            "ca_file": {"type": "str", "default": ""},
            "ca_data": {"type": "str", "default": ""},
            "certificate": {"type": "str", "default": ""},
            "ask_from": {"type": "str", "choices": ["controller", "node"]},
        },
    },
    "ask_from": {"type": "str", "choices": ["controller", "node"], "default": "node"},
    "timeout": {"type": "float", "default": 60},
}
"""Of the module and of its action."""

REFUSED = open_paths.REFUSED
WRONG_KEY = "sk-this-key-is-wrong"


@dataclass(frozen=True)
class Endpoint:
    """name: for people, ``tiny rank 0 (n1)``. serves: whether a model is to answer there. api_key: what clients must send.

    engine: what serves there or behind it. task: what for. place: ``alone``, ``behind_router`` or ``router``.
    trust: for ``https``. ready: the URL of the supervisor of its group, which knows why an engine does not answer.
    """

    name: str
    url: str
    serves: bool = True
    model: str = ""
    api_key: str | None = field(default=None, repr=False)
    engine: str = ""
    place: str = ALONE
    trust: http_client.Trust = http_client.MACHINE
    task: str = tasks.GENERATE
    ready: str = ""


@dataclass(frozen=True)
class Answer:
    """status: of HTTP, 0 without an answer, then ``error`` has the reason. chunks: the events of a stream, but for its end."""

    status: int
    text: str = ""
    chunks: tuple[str, ...] = ()
    ended: bool = False
    error: str = ""

    @property
    def json(self) -> dict[str, Any]:
        """The body; empty when it is no JSON object."""
        return http_client.json_object(self.text)


def asker(timeout: float, trust: http_client.Trust = http_client.MACHINE, most_events: int | None = None) -> Ask:
    """Requests by HTTP; ``timeout`` in seconds for each whole answer. Never raises for what a server may do.

    trust: for ``https``. most_events: hang up after so many events of a stream.
    """

    def ask(
        url: str,
        body: dict[str, Any] | None,
        key: str | None,
        *,
        method: str = "",
        host: str = "",
        content: tuple[bytes, str] | None = None,
    ) -> Answer:
        stream = _Stream(most_events) if body and body.get("stream") else None
        kind = {"Content-Type": content[1]} if content else {}
        answer = http_client.request(
            url,
            method=method or None,
            headers={**http_client.bearer(key), **({"Host": host} if host else {}), **kind},
            body=body,
            content=content[0] if content else None,
            timeout=timeout,
            until=stream.line if stream else None,
            trust=trust,
        )
        if stream and answer.status == 200:
            return stream.answer(answer.error)
        if 300 <= answer.status < 400:
            return Answer(answer.status, f"redirects to {answer.headers.get('location', 'nothing')}")
        status = 0 if answer.error and answer.status < 300 else answer.status
        return Answer(status, answer.text, error=answer.error)

    return ask


class _Stream:
    """The ``data:`` events of a server-sent stream, until ``[DONE]`` or until there are ``most``."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._chunks: list[str] = []
        self._ended = False

    def line(self, line: bytes) -> bool:
        """Whether no further line is wanted."""
        event = line.decode("utf-8", "replace").strip()
        self._ended = event == "data: [DONE]"
        if event.startswith("data:") and not self._ended:
            self._chunks.append(event[5:].strip())
        return self._ended or self._enough()

    def _enough(self) -> bool:
        return self._most is not None and len(self._chunks) >= self._most

    def answer(self, error: str) -> Answer:
        """What was read of it. error: of the request."""
        if not self._ended and not self._enough():
            error = (
                "the stream did not end"
                if error == http_client.TIMED_OUT
                else error or "the stream ended without [DONE]"
            )
        return Answer(200, chunks=tuple(self._chunks), ended=self._ended, error=error)


def look_at_all(endpoints: Sequence[Mapping[str, Any]], timeout: float) -> list[Finding]:
    """The checks of all endpoints, made at the same time. endpoints: as in ``OPTIONS``. timeout: seconds for each answer."""

    def one(options: Mapping[str, Any]) -> list[Finding]:
        trust = http_client.Trust(**{name: options.get(name) or "" for name in ("ca_file", "certificate", "ca_data")})
        known = {one.name for one in fields(Endpoint)}
        rest = {name: value for name, value in options.items() if name in known}
        return look(Endpoint(**rest, trust=trust), asker(timeout, trust))

    with ThreadPoolExecutor(max_workers=32) as pool:
        return [check for checks in pool.map(one, endpoints) for check in checks]


def look(endpoint: Endpoint, ask: Ask) -> list[Finding]:
    """The checks of one endpoint: one where nothing answers, up to seven where something does."""
    if not endpoint.serves:
        return [_silent(endpoint, ask)]
    if endpoint.place == ROUTER and (nothing := unanswered.no_replica(endpoint.name, endpoint.url, ask)):
        return [nothing]
    models = ask(f"{endpoint.url}/v1/models", None, endpoint.api_key)
    if models.status == 0:
        return [unanswered.why(endpoint.name, f"{endpoint.url}: {models.error}", endpoint.ready, ask)]
    if models.status in REFUSED and endpoint.api_key is None:
        message = f"{endpoint.url} asks for a key (HTTP {models.status}), and this check has none"
        return [
            failed("endpoint-answers", endpoint.name, message, "give the check the key that clients send, as api_key")
        ]
    if models.status in REFUSED:
        return [
            failed(
                "endpoint-answers",
                endpoint.name,
                f"{endpoint.url} refuses the key (HTTP {models.status})",
                "it was started with another key than engine_api_key of the inventory: run playbooks/engines.yml, or correct it",
            )
        ]
    return [
        _model(endpoint, models),
        *_keys(endpoint, ask),
        *_paths(endpoint, ask),
        _answered(endpoint, ask),
        *([_streaming(endpoint, ask)] if endpoint.task == tasks.GENERATE else []),
    ]


def _question(endpoint: Endpoint) -> tasks.Question:
    return tasks.clients(endpoint.task, endpoint.engine)


def _request(endpoint: Endpoint, ask: Ask, key: str | None) -> Answer:
    """A request as clients of its task send it."""
    question = _question(endpoint)
    url, answer = f"{endpoint.url}{question.path}", Answer(0)
    if question.recording:
        answer = ask(url, None, key, content=question.content(endpoint.model))
    else:
        answer = ask(url, {"model": endpoint.model, **question.body}, key)
    return answer


def _silent(endpoint: Endpoint, ask: Ask) -> Finding:
    """No client may get an answer there. A ``/health`` of 200 is allowed: SGLang's other ranks serve a dummy."""
    answer = _request(endpoint, ask, endpoint.api_key)
    if answer.status == 200 and not wrong(_question(endpoint), answer.text):
        return failed(
            "endpoint-silent",
            endpoint.name,
            f"{endpoint.url} answers with {_question(endpoint).noun}, and no client should be there",
            "something else uses this port, or the rank was started as a head: look at its unit, and run playbooks/engines.yml",
        )
    return passed("endpoint-silent", endpoint.name, answer.error or f"no answer of a model (HTTP {answer.status})")


def _model(endpoint: Endpoint, models: Answer) -> Finding:
    names = [str(one.get("id")) for one in models.json.get("data") or [] if isinstance(one, dict)]
    if endpoint.model in names:
        return passed("model-name", endpoint.name, endpoint.model)
    there = ", ".join(names) or f"nothing (HTTP {models.status})"
    return failed(
        "model-name",
        endpoint.name,
        f"serves {there}, not {endpoint.model}",
        "engine_served_model_name is what clients ask for: set it, and run playbooks/engines.yml",
    )


def _keys(endpoint: Endpoint, ask: Ask) -> list[Finding]:
    if endpoint.api_key is None:
        return [
            warned(
                "key-required",
                endpoint.name,
                "answers everybody",
                "set engine_api_key where others reach the port",
            )
        ]
    found = []
    for what, key in (("without a key", None), ("with a wrong key", WRONG_KEY)):
        answer = _request(endpoint, ask, key)
        if answer.status in REFUSED:
            found.append(passed("key-required", endpoint.name, f"HTTP {answer.status} {what}"))
        else:
            found.append(
                failed(
                    "key-required",
                    endpoint.name,
                    f"{answer.error or f'HTTP {answer.status}'} {what}, and not 401",
                    "the rank was started without its key: run playbooks/engines.yml",
                )
            )
    return found


def _paths(endpoint: Endpoint, ask: Ask) -> list[Finding]:
    """Which paths answer everybody, and whether a Host header opens the others. Of an endpoint without a key all do."""
    if endpoint.api_key is None:
        return []
    behind_it = ("smg",) if endpoint.place == ROUTER else ()
    engines, guarded = (endpoint.engine, *behind_it), _question(endpoint).path
    found = open_paths.look(endpoint.url, engines, endpoint.api_key, WRONG_KEY, ask, guarded=guarded)
    severity, remedy = _OPEN[endpoint.place]
    if found.open_to_all:
        what = f"answers everybody, whatever their key - {found.text}"
        paths = finding(severity, "paths-without-key", endpoint.name, what, remedy, paths=dict(found.open_to_all))
    elif found.unknown:
        paths = skipped("paths-without-key", endpoint.name, f"not known: {found.unknown}")
    else:
        what = f"{found.closed} paths refuse who has no key, or a wrong one"
        what += f"; {found.left_out} could not be requested without a risk" if found.left_out else ""
        paths = passed("paths-without-key", endpoint.name, what)
    return [paths, _host_header(endpoint, ask)]


def _host_header(endpoint: Endpoint, ask: Ask) -> Finding:
    seen = open_paths.host_header(endpoint.url, ask)
    if seen == "open":
        verdict = warned if endpoint.place == BEHIND else failed
        return verdict(
            "host-header", endpoint.name, "a Host header skips its key (CVE-2026-48710)", _NEWER[endpoint.place]
        )
    if seen == "closed":
        return passed("host-header", endpoint.name, "a malformed Host header opens nothing")
    return skipped("host-header", endpoint.name, f"not known: {seen}")


def _answered(endpoint: Endpoint, ask: Ask) -> Finding:
    """The code of the check is what is asked for: completion, embedding, score …"""
    question = _question(endpoint)
    code, answer = CODES[endpoint.task], _request(endpoint, ask, endpoint.api_key)
    why = wrong(question, answer.text) if answer.status == 200 and not answer.error else _seen(answer)
    return (
        failed(code, endpoint.name, why, _LOOK)
        if why
        else passed(code, endpoint.name, f"answered with {question.noun}")
    )


CODES = {
    tasks.GENERATE: "completion",
    tasks.EMBED: "embedding",
    tasks.SCORE: "score",
    tasks.CLASSIFY: "class",
    tasks.TRANSCRIBE: "transcription",
    tasks.POOL: "pooling",
    tasks.HALF: "half",
}
"""What is asked for → the code of the check that it is answered."""


def _streaming(endpoint: Endpoint, ask: Ask) -> Finding:
    body = {**_question(endpoint).body, "model": endpoint.model, "stream": True}
    answer = ask(f"{endpoint.url}{_question(endpoint).path}", body, endpoint.api_key)
    if answer.status == 200 and answer.ended and answer.chunks:
        return passed("streaming", endpoint.name, f"{len(answer.chunks)} events")
    return failed("streaming", endpoint.name, _seen(answer), _LOOK + "; a proxy before it must not buffer")


def _seen(answer: Answer) -> str:
    return answer.error or f"HTTP {answer.status}: {answer.text.strip()[:200] or 'an answer without choices'}"


_PUT_A_ROUTER_BEFORE = (
    "put a router before it, which lets through a list of paths and only with the key: engine_router_on_head: true, or a host "
    "in the group router; or let a firewall admit clients that may do this"
)
_OPEN = {
    ALONE: (WARN, _PUT_A_ROUTER_BEFORE),
    BEHIND: (PASS, ""),  # its router and its own machine reach it, no client does
    ROUTER: (FAIL, "it does not run with the configuration of the inventory: run playbooks/router.yml"),
}
"""Place → severity and remedy where paths answer everybody."""

_NEWER = {
    ALONE: "take an engine_version that is not affected (docs/security.md), or install starlette 1.0.1 or newer in engine_venv; "
    "until then put a router before it (engine_router_on_head: true)",
    BEHIND: "its router sends a Host of its own; take an engine_version that is not affected (docs/security.md)",
    ROUTER: "run playbooks/router.yml: a router sends a Host of its own to the engines",
}
"""Place → remedy where a Host header skips the key."""

_LOOK = "playbooks/diagnose.yml reports the state of the ranks"
