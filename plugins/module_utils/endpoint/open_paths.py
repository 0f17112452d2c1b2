# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of an endpoint, and whether each of them asks for the key. Private to this collection.

An engine's key guards a part of its paths: vLLM's those below /v1, /v2, /inference and /cohere (``GUARDED_PREFIX`` in
vllm/entrypoints/serve/middleware/authenticate.py, 0.32), SGLang's and LMDeploy's nearly all
(sglang/srt/utils/auth.py 0.5.23, lmdeploy/serve/utils/server_utils.py 0.18). What is behind the others answers everybody.

**A probe changes nothing, also where a path is open.** It is a request of a method that no route of these engines has
(`PROBE`): where the key is checked before the route the answer is 401, where it is not the router of the engine answers 405
(a path of another method) or 404 (no such path), and no handler runs in any case. A server that looks at the method first
answers 404 or 405 everywhere, as a router does that passes on a list of requests: one path that certainly wants the key shows
it. Then each path is requested as clients do, with an empty object that every handler refuses, and those of control that take no
body are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PROBE = "PATCH"
"""The method of a probe."""

REFUSED = (401, 403)
GUARDED = "/v1/chat/completions"
"""What every engine and router of a model that generates guards, when it guards anything."""

HEALTHY = ("/health", "/ping", "/ready", "/readyz", "/liveness", "/readiness")
"""Pages of health, which may answer everybody."""

MODEL, CONTROL, INFORMATION = "the model", "control", "information"
"""What is behind a path: answers of the model, what changes or stops the engine, what it tells about itself."""

PATHS: dict[str, dict[str, str]] = {
    "vllm": {
        MODEL: "/invocations /generate /tokenize /detokenize /pooling /classify /score /rerank /generative_scoring "
        "/inference/v1/generate /v1/chat/completions/render /v1/completions/render /v1/embeddings /v2/embed /v1/responses "
        "/v1/messages /v1/audio/transcriptions /cohere/v2/chat",
        CONTROL: "/scale_elastic_ep /fault_tolerance/apply /pause /resume /abort_requests /sleep /wake_up "
        "/release_kv_cache_memory /reset_prefix_cache /reset_mm_cache /reset_encoder_cache /collective_rpc /start_profile "
        "/stop_profile /init_weight_transfer_engine /shutdown_weight_transfer_engine /start_weight_update "
        "/start_draft_weight_update /update_weights /finish_weight_update /update_weight_version /weight_checker "
        "/v1/load_lora_adapter /v1/unload_lora_adapter /inference/v1/abort_requests",
        INFORMATION: "/metrics /version /load /server_info /tokenizer_info /kv_event_sources /fault_tolerance/status "
        "/is_sleeping /is_paused /is_scaling_elastic_ep /weight_info /get_world_size /docs /redoc /openapi.json /v1/models",
    },
    "sglang": {
        MODEL: "/generate /encode /classify /invocations /vertex_generate /health_generate /tokenize /detokenize "
        "/parse_function_call /separate_reasoning /open_session /close_session /api/chat /api/generate /v1/score "
        "/v1/embeddings /v1/responses /v1/rerank /v1/classify /v1/messages /v1/audio/transcriptions",
        CONTROL: "/flush_cache /abort_request /set_internal_state /update_weights_from_disk /update_weights_from_tensor "
        "/update_weights_from_distributed /update_weights_from_ipc /begin_weight_update /end_weight_update "
        "/init_weights_update_group /destroy_weights_update_group /init_weights_send_group_for_remote_instance "
        "/send_weights_to_remote_instance /update_weight_version /release_memory_occupation /resume_memory_occupation "
        "/start_profile /stop_profile /set_trace_level /freeze_gc /start_expert_distribution_record "
        "/stop_expert_distribution_record /dump_expert_distribution_record /slow_down /pause_generation "
        "/continue_generation /load_lora_adapter /load_lora_adapter_from_tensors /unload_lora_adapter /configure_logging "
        "/hicache/storage-backend /hicache/storage-backend/clear /clear_hicache_storage_backend /add_external_corpus "
        "/remove_external_corpus /pd_role_switch /scale_elastic_ep /dumper/x /weights_checker",
        INFORMATION: "/metrics /get_model_info /model_info /get_server_info /server_info /get_weights_by_name /get_load "
        "/v1/loads /list_external_corpora /get_hicache_l3_cache_layout /get_remote_instance_transfer_engine_info "
        "/remote_instance_transfer_engine_info /is_scaling_elastic_ep /api/tags /api/show /docs /redoc /openapi.json "
        "/v1/models",
    },
    "lmdeploy": {
        MODEL: "/generate /pooling /get_ppl /v1/encode /v1/embeddings /v1/responses /v1/messages /v1/chat/interactive",
        CONTROL: "/terminate /update_weights /update_weights_from_ipc /update_weights_from_distributed "
        "/init_weights_update_group /destroy_weights_update_group /sleep /wakeup /abort_request /distserve/p2p_initialize "
        "/distserve/p2p_connect /distserve/p2p_drop_connect /distserve/free_cache /nodes/add /nodes/remove",
        INFORMATION: "/metrics /is_sleeping /distserve/engine_info /nodes/status /docs /redoc /openapi.json "
        "/v1/models /anthropic/v1/models",
    },
    "smg": {
        MODEL: "/generate /rerank /health_generate /parse/function_call /parse/reasoning",
        CONTROL: "/workers /add_worker /remove_worker /flush_cache /wasm /v1/tokenizers /ha/config /ha/rate-limit "
        "/ha/shutdown",
        INFORMATION: "/list_workers /get_loads /engine_metrics /metrics /get_model_info /get_server_info /ha/status "
        "/ha/workers /v1/models",
    },
}
"""Engine → what is behind it → paths of all its versions; one that a version does not have answers 404.

Read from the routes of vLLM 0.32.0 (vllm/entrypoints, ``api_router.py``), SGLang 0.5.23
(sglang/srt/entrypoints/http_server.py, elastic_ep.py) and LMDeploy 0.18.0 (lmdeploy/serve/openai/endpoints), with those that
older versions have; smg's from ``build_app`` in model_gateway/src/server.rs of lightseekorg/smg. A running engine lists its own
besides (/openapi.json). tests/engines compares the table with the installed engines."""

TAKE_A_BODY = frozenset(
    "/scale_elastic_ep /v1/load_lora_adapter /v1/unload_lora_adapter /update_weights_from_disk /set_internal_state "
    "/init_weights_update_group /load_lora_adapter /unload_lora_adapter /workers".split()
)
"""Of the paths of control those that refuse an empty object before they do anything: they name what they need."""

BY_GET = frozenset({"/health_generate"})
"""Of the paths of the model those that are requested by GET."""

POISON = "fullrank/health?"
"""A Host header after which Starlette before 1.0.1 takes every path for /health (CVE-2026-48710, GHSA-86qp-5c8j-p5mr)."""


class Ask(Protocol):
    """Sends a request. Of its answer ``status`` counts here (0 without one), ``error`` and ``json``."""

    def __call__(
        self,
        url: str,
        body: dict[str, Any] | None,
        key: str | None,
        *,
        method: str = "",
        host: str = "",
        content: tuple[bytes, str] | None = None,
    ) -> Any: ...


@dataclass(frozen=True)
class Paths:
    """What was found. open_to_all: what is behind → paths that answer everybody. closed: how many paths refuse who has no key.

    left_out: how many could not be requested without a risk. unknown: why nothing could be concluded; empty when something was.
    """

    open_to_all: Mapping[str, list[str]]
    closed: int = 0
    left_out: int = 0
    unknown: str = ""

    @property
    def text(self) -> str:
        """The open paths, in words."""
        return "; ".join(f"{what}: {', '.join(paths)}" for what, paths in self.open_to_all.items())


def look(url: str, engines: tuple[str, ...], key: str, wrong_key: str, ask: Ask, *, guarded: str = GUARDED) -> Paths:
    """Probe the paths of an endpoint that wants a key.

    engines: whose paths; those that it lists itself are added. guarded: a path that certainly wants the key, that of its task.

    An answer that does not come ends it: the rest would not come either.
    """
    first = ask(f"{url}{guarded}", None, None, method=PROBE)
    if first.status not in (*REFUSED, 404, 405):
        return Paths({}, unknown=str(first.error) or f"{guarded} without a key was answered by HTTP {first.status}")
    key_first = first.status in REFUSED
    paths = known(engines)
    if key_first:
        paths = {**_listed(ask(f"{url}/openapi.json", None, key)), **paths}
    found: dict[str, list[str]] = {}
    closed = left_out = 0
    for path, what in paths.items():
        request = (PROBE, None) if key_first else _harmless(path, what)
        if request is None:
            left_out += 1
            continue
        method, body = request
        status = _worst(ask(f"{url}{path}", body, one, method=method).status for one in (None, wrong_key))
        if status in (0, 429):
            why = "answered by 429 (too many requests)" if status else "not answered"
            return Paths(found, closed, left_out, f"{path} was {why}")
        if status in REFUSED:
            closed += 1
        elif status in (400, 404) if key_first else status in (404, 405):
            closed += not key_first  # at a router 404 is its refusal, at an engine there is no such path
        else:
            found.setdefault(what, []).append(path)
    return Paths({what: found[what] for what in (MODEL, CONTROL, INFORMATION) if what in found}, closed, left_out)


def _harmless(path: str, what: str) -> tuple[str, dict[str, Any] | None] | None:
    """A request as clients send it after which nothing has changed; None where there is none."""
    if what == INFORMATION or path in BY_GET:
        return "GET", None
    return ("POST", {}) if what == MODEL or path in TAKE_A_BODY else None


def _worst(statuses: Iterator[int]) -> int:
    """The first that is no refusal: who gets in with nothing need not try a wrong key."""
    status = 0
    for status in statuses:
        if status not in REFUSED:
            break
    return status


def known(engines: tuple[str, ...]) -> dict[str, str]:
    """Path → what is behind it, of these engines."""
    return {path: what for engine in engines for what, line in PATHS.get(engine, {}).items() for path in line.split()}


def _listed(answer: Any) -> dict[str, str]:
    """The paths that a server describes (OpenAPI), but for pages of health and those that take a request of a probe's method."""
    described = answer.json.get("paths") if answer.status == 200 else None
    found = {}
    for path, methods in described.items() if isinstance(described, dict) else ():
        if path not in HEALTHY and isinstance(methods, dict) and PROBE.lower() not in methods:
            found[re.sub(r"\{[^}]*\}", "x", str(path))] = INFORMATION if set(methods) <= {"get", "head"} else CONTROL
    return found


def host_header(url: str, ask: Ask) -> str:
    """Whether a Host header skips the key: ``open``, ``closed``, or why it is not known.

    Asks for the list of models: a reading, whoever gets it.
    """
    answer = ask(f"{url}/v1/models", None, None, host=POISON)
    if answer.status == 200:
        return "open"
    return "closed" if answer.status else str(answer.error)
