# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: an embedding model beside a chat model, each asked for what it does."""

from __future__ import annotations

import json
import math
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest
from helpers import NET, assert_key_required, chat, post, until
from testinfra.host import Host

ENGINE, ROUTER = f"http://{NET}.12:8000", f"http://{NET}.12:8080"
KEY, TINY_KEY = "sk-minilm-0123456789abcdef", "sk-tiny-0123456789abcdef"
SUPERVISOR = "fullrank-supervisor@minilm.service"


def embedded(texts: list[str], key: str | None = KEY) -> list[list[float]]:
    answer = post(f"{ROUTER}/v1/embeddings", {"model": "minilm", "input": texts}, key)
    return [one["embedding"] for one in answer["data"]]


def alike(one: list[float], other: list[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths


def status(host: Host) -> dict[str, Any]:
    return dict(json.loads(host.check_output("cat /run/fullrank/minilm.json")))


def test_what_means_alike_is_alike(nodes: dict[str, Host]) -> None:
    """By the router, with the key: these are real weights."""
    question, right, wrong = embedded(
        ["How do I restart a server?", "Reboot the machine with systemctl.", "Bread needs flour and water."]
    )
    assert len(question) == 384
    assert alike(question, right) > alike(question, wrong) + 0.2


def test_the_chat_model_answers_beside_it() -> None:
    assert chat(f"{NET}.11", TINY_KEY)["choices"]


def test_who_has_no_key_gets_no_embedding() -> None:
    assert_key_required(lambda key: embedded(["x"], key))


def test_the_router_passes_on_what_an_embedding_model_answers_and_nothing_else() -> None:
    document = {"model": "minilm", "query": "restart", "documents": ["reboot", "bread"]}
    ranked = post(f"{ROUTER}/v1/rerank", document, KEY)["results"]
    assert ranked[0]["index"] == 0
    for path in ("/v1/chat/completions", "/v1/completions"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(f"{ROUTER}{path}", {"model": "minilm", "messages": [], "prompt": "x"}, KEY)
        assert refused.value.code == 404


def test_every_endpoint_is_checked_by_its_task(play: Callable[..., Any]) -> None:
    run = play("playbooks/verify.yml")
    assert (run.rc, run.changed) == (0, 0)
    found = {(one["where"], one["code"]): one["severity"] for one in run.outcome["verify"]["checks"]}
    router = f"minilm by the router at {NET}.12:8080"
    for where in ("minilm rank 0 (n2)", router):
        assert found[where, "embedding"] == found[where, "key-required"] == "pass"
        assert (where, "completion") not in found and (where, "streaming") not in found
    assert found[router, "paths-without-key"] == "pass"
    assert found["tiny rank 0 (n1)", "completion"] == "pass"


def test_a_second_run_changes_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = status(nodes["n2"])["epoch"]
    run = play("site.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert status(nodes["n2"])["epoch"] == before
    assert run.outcome["deployments"]["minilm"]["task"] == "embed"
    assert run.outcome["deployments"]["tiny"]["task"] == "generate"


def test_a_task_that_the_model_does_not_do_is_refused_before_anything_changes(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    run = play("playbooks/engines.yml", "--limit", "n2", engine_task="generate")
    assert run.rc != 0 and run.changed == 0
    assert "generate, but of the model modules.json has a pooling layer" in run.printed
    assert "leave engine_task out, or write engine_task: embed" in run.printed
    assert status(nodes["n2"])["ready"]


def test_the_plan_shows_task_and_reason(play: Callable[..., Any]) -> None:
    run = play("playbooks/plan.yml")
    assert run.rc == 0
    assert run.outcome["plans"]["minilm"]["task"] == "embed"
    assert "task: embed (engine_task: embed)" in run.printed
    assert "--runner pooling" in run.outcome["plans"]["minilm"]["ranks"][0]["command"]


def test_an_engine_that_stands_still_is_started_again_and_ready_by_an_embedding(nodes: dict[str, Host]) -> None:
    host, before = nodes["n2"], status(nodes["n2"])["epoch"]
    host.check_output("systemctl kill --signal=SIGSTOP fullrank-rank@minilm.service")
    until(lambda: status(host)["ready"] and status(host)["epoch"] > before, 600, "an engine that stood still")
    assert len(embedded(["x"])[0]) == 384
