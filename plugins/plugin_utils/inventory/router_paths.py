# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests a router passes on, by engine and by what its model is for. Pure; private to this collection.

Sources: the routes that each engine's server registers (vLLM 0.32 ``entrypoints``, SGLang 0.5.23 ``http_server.py``,
LMDeploy 0.18 ``serve/openai``). What changes an engine, describes it, or is another address of the same thing
(``/invocations``, ``/tokenize``, ``/metrics``) is not in here: an operator names it where it is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.tasks import GENERATE, TRANSCRIBE
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import tasks

_SEGMENT = "[A-Za-z0-9_:-][A-Za-z0-9._:-]*"
MODELS = ("/v1/models", f"^/v1/models/{_SEGMENT}(/{_SEGMENT})*$")
"""A model's name may have slashes; no part of it begins with a dot."""

_ANSWER_ID = "[A-Za-z0-9_-]+"
_GENERATE = ("/v1/chat/completions", "/v1/completions")
_RESPONSES = ("/v1/responses", f"^/v1/responses/{_ANSWER_ID}/cancel$")
_MESSAGES = ("/v1/messages", "/v1/messages/count_tokens")
_AUDIO = ("/v1/audio/transcriptions", "/v1/audio/translations")
_RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")
POST: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm": {
        "generate": (*_GENERATE, *_RESPONSES, *_MESSAGES, *_AUDIO),
        "pool": ("/v1/embeddings", "/v2/embed", "/pooling", "/classify", "/score", "/v1/score", *_RERANK),
    },
    "sglang": {
        "generate": (*_GENERATE, *_RESPONSES, *_MESSAGES, *_AUDIO, "/generate"),
        "pool": ("/v1/embeddings", "/encode", "/classify", "/v1/classify", "/v1/score", "/v1/rerank"),
    },
    "lmdeploy": {"generate": (*_GENERATE, *_RESPONSES, *_MESSAGES, "/generate"), "pool": ("/pooling",)},
}
GET: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm": {"generate": (f"^/v1/responses/{_ANSWER_ID}$",), "pool": ()},
    "sglang": {"generate": (f"^/v1/responses/{_ANSWER_ID}$",), "pool": ()},
    "lmdeploy": {"generate": (), "pool": ()},
}
_OTHER = {"generate": _GENERATE, "pool": ("/v1/embeddings",)}
"""Of an engine that is not known: what all of them have."""

_WRITTEN = re.compile(r"(GET|POST) (/[A-Za-z0-9._~:/-]*)")


def paths(engine: str, served: tasks.Task, more: Iterable[str] = ()) -> dict[str, list[str]]:
    """``get`` and ``post`` → paths, those that begin with ``^`` as regular expressions.

    served: what for. more: further ones, each ``METHOD /path``, as `wrong` lets them be.
    """
    kinds = _kinds(served)
    found = {
        "get": [*MODELS, *(path for kind in kinds for path in GET.get(engine, {}).get(kind, ()))],
        "post": [path for kind in kinds for path in POST.get(engine, _OTHER)[kind]],
    }
    for one in more:
        method, _unused, path = str(one).partition(" ")
        found[method.lower()].append(path)
    return {method: list(dict.fromkeys(words)) for method, words in found.items()}


def _kinds(served: tasks.Task) -> tuple[str, ...]:
    """``generate`` or ``pool``, and both where nothing but the engine's default tells: a model that embeds may be behind it."""
    if served.source == tasks.DEFAULT:
        return ("generate", "pool")
    return ("generate",) if served.name in (GENERATE, TRANSCRIBE) else ("pool",)


def wrong(more: Iterable[Any], where: str) -> list[Finding]:
    """Further paths that cannot be compared byte by byte with what clients send."""
    return [
        failed("router-path", where, f"{one!r} is not a method and a path", "write for example POST /tokenize")
        for one in more
        if not (match := _WRITTEN.fullmatch(str(one))) or "//" in match[2] or "/." in match[2]
    ]
