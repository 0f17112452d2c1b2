# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model is served for, and the smallest request that shows that it does it. Private to this collection.

One table for all who ask an endpoint: supervisors, checks, status, the chain. A ``/health`` is no answer: it is 200 while ranks
are dead and requests hang (seen with vLLM 0.32 and SGLang 0.5), and ranks other than the head answer it from a dummy server
(SGLang). An answer of the model needs every rank of the group.

Sources: the routes of vLLM 0.32 (``entrypoints/generate``, ``pooling``, ``speech_to_text``) and SGLang 0.4.6.post3 to 0.5.23
(``srt/entrypoints/http_server.py``, ``openai/protocol.py``); vLLM's /classify came with 0.9.0 (vllm pull request 17032).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

GENERATE, EMBED, SCORE, CLASSIFY, TRANSCRIBE, POOL = "generate", "embed", "score", "classify", "transcribe", "pool"
TASKS = (GENERATE, EMBED, SCORE, CLASSIFY, TRANSCRIBE, POOL)
"""Values of ``engine_task``. pool is what vLLM answers at /pooling and nowhere else: rewards, vectors of each token."""

HALF = "half"
"""The request for an SGLang group that does a half of a generation, ``--disaggregation-mode prefill`` or ``decode``. It refuses
a request without the room of a transfer with 400 (srt/managers/scheduler.py), so a completion shows nothing."""

ASKED = (*TASKS, HALF)
"""What an endpoint can be asked to show."""


@dataclass(frozen=True)
class Question:
    """One small request. body: fields besides the model's name. wrong: why the JSON of an answer is none, empty when it is one.

    noun: what a right answer is, for people. recording: whether the body is a form with a sound file instead of JSON.
    """

    path: str
    body: Mapping[str, Any]
    wrong: Callable[[Any], str]
    noun: str
    recording: bool = False

    def content(self, model: str) -> tuple[bytes, str]:
        """The body of the request and its type."""
        fields = {"model": model, **self.body}
        if self.recording:
            return _form(fields), f"multipart/form-data; boundary={_BOUNDARY}"
        return json.dumps(fields).encode(), "application/json"


def _choices(answer: Any) -> str:
    return "" if answer.get("choices") else "an answer without choices"


def _embedding(answer: Any) -> str:
    vector = (answer.get("data") or [{}])[0].get("embedding")
    if not isinstance(vector, list) or not vector:
        return "an answer without an embedding"
    numbers = all(isinstance(one, (int, float)) and math.isfinite(one) for one in vector)
    return "" if numbers else "an embedding with values that are no numbers"


def _score(answer: Any) -> str:
    """vLLM answers a mapping with ``results``, SGLang a list (srt/entrypoints/openai/protocol.py: RerankResponse)."""
    results = answer if isinstance(answer, list) else answer.get("results")
    first = results[0] if results else {}
    score = first.get("relevance_score", first.get("score"))
    return "" if isinstance(score, (int, float)) and math.isfinite(score) else "an answer without a score"


def _class(answer: Any) -> str:
    first = (answer.get("data") or [{}])[0]
    return "" if first.get("probs") or first.get("label") is not None else "an answer without a class"


def _pooled(answer: Any) -> str:
    return "" if (answer.get("data") or [{}])[0].get("data") not in (None, []) else "an answer without data"


def _text(answer: Any) -> str:
    return "" if isinstance(answer.get("text"), str) else "an answer without a text"


def _half(answer: Any) -> str:
    first = answer[0] if isinstance(answer, list) and answer else answer
    return "" if isinstance(first.get("text"), str) or first.get("output_ids") else "an answer without a token"


_COMPLETION = Question(
    "/v1/completions", {"prompt": "ping", "max_tokens": 1, "temperature": 0}, _choices, "a completion"
)
_CHAT = Question(
    "/v1/chat/completions",
    {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 4, "temperature": 0},
    _choices,
    "a completion",
)
_DOCUMENT = {"query": "ping", "documents": ["ping"]}
_SMALLEST = {
    GENERATE: _COMPLETION,
    EMBED: Question("/v1/embeddings", {"input": "ping"}, _embedding, "an embedding"),
    SCORE: Question("/v1/rerank", _DOCUMENT, _score, "a score"),
    CLASSIFY: Question("/classify", {"input": "ping"}, _class, "a class"),
    TRANSCRIBE: Question("/v1/audio/transcriptions", {"temperature": 0}, _text, "a transcription", recording=True),
    POOL: Question("/pooling", {"input": "ping"}, _pooled, "an answer of /pooling"),
    # the host of a transfer that is none and a room, by which SGLang from 0.4.7.post1 on warms such groups up and checks their
    # health (srt/disaggregation/utils.py: FAKE_BOOTSTRAP_HOST): the ranks compute, and nothing is sent
    HALF: Question(
        "/generate",
        {
            "text": "ping",
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "bootstrap_host": "2.2.2.2",
            "bootstrap_room": 0,
        },
        _half,
        "a token by a transfer that is none",
    ),
}
_OF_ENGINE = {("sglang", CLASSIFY): Question("/v1/classify", {"input": "ping"}, _class, "a class")}

SINCE = {
    ("vllm", CLASSIFY): "0.9.0",
    ("sglang", SCORE): "0.4.7.post1",
    ("sglang", CLASSIFY): "0.5.4",
    ("sglang", TRANSCRIBE): "0.5.10",
    ("sglang", HALF): "0.4.7.post1",
}
"""Engine and task → the first version whose server has the path. What is not in here all versions with a flag catalog have."""

ENGINES = {"vllm": TASKS, "sglang": (GENERATE, EMBED, SCORE, CLASSIFY, TRANSCRIBE, HALF), "lmdeploy": (GENERATE,)}
"""Engine → what its server answers. LMDeploy 0.18: /v1/embeddings answers that it is not supported (lmdeploy/serve/openai), and
/pooling is for reward models."""


def smallest(task: str, engine: str = "") -> Question:
    """The cheapest request that needs all ranks."""
    return _OF_ENGINE.get((engine, task)) or _SMALLEST[task]


def clients(task: str, engine: str = "") -> Question:
    """A request as clients send it: a chat for a model that generates."""
    return _CHAT if task == GENERATE else smallest(task, engine)


_BOUNDARY = "fullrank-b0a3d5c1"


def _form(fields: Mapping[str, Any]) -> bytes:
    """A form with fields and a tenth of a second of silence (RFC 7578)."""
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="ping.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return b"".join([*parts, head.encode(), silence(), f"\r\n--{_BOUNDARY}--\r\n".encode()])


def silence(seconds: float = 0.1, rate: int = 16000) -> bytes:
    """A WAV file of one channel of 16 bits in which nothing is spoken."""
    samples = bytes(2 * int(seconds * rate))
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data
