# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router loses when replicas fail: with two nothing that had no answer yet, with one what finds no place in its queue."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy, replicas
from router_loopback import BODY, TEAM_KEY, Engine, Reply, Router, post, running, until

CLIENTS = 4


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    with running(tmp_path, replicas=2) as one:
        yield one


class Load:
    """Clients that ask one after the other; a context. ``lost``: answers that were not 200."""

    def __init__(self, router: Router, clients: int = CLIENTS) -> None:
        self.router, self.answers, self.over = router, list[Reply](), threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self.over.is_set():
            self.answers.append(self.router.ask())
            time.sleep(0.02)

    def __enter__(self) -> Load:
        for one in self.threads:
            one.start()
        until(lambda: len(self.answers) > 10)
        return self

    def more(self, number: int = 10) -> None:
        """Until so many further requests are answered."""
        have = len(self.answers)
        until(lambda: len(self.answers) > have + number, 40)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for one in self.threads:
            one.join()

    @property
    def lost(self) -> list[Reply]:
        return [one for one in self.answers if one.status != 200]


def seen_ready(router: Router, name: str) -> bool:
    return bool(router.ask("GET", "/fullrank/ready", key=None).json["servers"][name])


def killed(engine: Engine) -> None:
    engine.mode = "close"
    engine.stop()


def dies_but_answers(engine: Engine) -> None:
    """As an API server whose workers are lost: 500 to what it has, then it ends."""
    engine.mode = "fail"


def hung(engine: Engine) -> None:
    """Its supervisor finds out after a while."""
    engine.mode = "hang"
    threading.Timer(1, setattr, (engine, "ready", False)).start()


@pytest.mark.parametrize("fault", [killed, dies_but_answers, hung])
def test_of_two_replicas_one_fails_and_no_request_is_lost(router: Router, fault: Callable[[Engine], None]) -> None:
    one = router.engines[0]
    with Load(router) as load:
        one.mode = "hang"  # so that it holds requests when it fails
        until(lambda: len(one.heads) - len(load.answers) // 2 >= 0)
        time.sleep(0.2)
        fault(one)
        time.sleep(0.5)
        one.ready = False
        until(lambda: not seen_ready(router, "n1"))
        load.more()
        one.mode = "answer"
        if not one.server:
            one.start()
        one.ready = True
        until(lambda: seen_ready(router, "n1"))
        had = len(one.heads)
        until(lambda: len(one.heads) > had)
    assert load.lost == []


def test_a_large_request_is_passed_on_but_not_kept_to_be_sent_again(router: Router) -> None:
    first, second = router.engines
    first.mode = second.mode = "close"
    answer = router.ask(body=b"x" * 500_000)
    assert answer.status == 502 and "failed while it answered" in answer.json["error"]["message"]
    assert len(first.bodies) + len(second.bodies) == 1


def test_a_request_that_ends_its_engine_ends_no_more_than_three(tmp_path: Path) -> None:
    with running(tmp_path, replicas=5) as router:
        for one in router.engines:
            one.mode = "close"
        assert router.ask().status == 502
        assert sum(len(one.bodies) for one in router.engines) == 1 + replicas.RETRIES


def test_what_was_sent_is_not_sent_again_where_that_is_not_wanted(tmp_path: Path) -> None:
    with running(tmp_path, replicas=2, resend=False) as router:
        for one in router.engines:
            one.mode = "close"
        assert router.ask().status == 502
        assert sum(len(one.bodies) for one in router.engines) == 1
        for one in router.engines:
            one.mode = "answer"
        router.engines[0].stop()  # who does not take the connection was sent nothing
        assert {router.ask().status for _ in range(6)} == {200}


def test_requests_wait_for_the_only_replica_up_to_a_number(tmp_path: Path) -> None:
    with running(tmp_path, replicas=1, queue=5) as router:
        (one,) = router.engines
        one.ready = False
        killed(one)
        until(lambda: not seen_ready(router, "n1"))
        answers: list[Reply] = []
        threads = [threading.Thread(target=lambda: answers.append(router.ask())) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) == 3)
        assert {(one.status, one.headers["retry-after"]) for one in answers} == {(503, "5")}
        assert "no replica of tiny is ready" in answers[0].json["error"]["message"]
        assert "fullrank_router_requests_waiting 5" in router.metrics()
        state = router.ask("GET", "/fullrank/ready", key=None)
        assert (state.status, state.json["ready"]) == (503, False)
        time.sleep(replicas.ROUNDS + 3)  # longer than if they went round and round
        assert "fullrank_router_requests_waiting 5" in router.metrics() and len(answers) == 3
        one.mode, one.ready = "answer", True
        one.start()
        for thread in threads:
            thread.join()
        assert sorted(one.status for one in answers) == [200] * 5 + [503] * 3
        assert "fullrank_router_requests_waiting 0" in router.metrics()


@pytest.mark.parametrize("fault", [killed, dies_but_answers])
def test_what_the_only_replica_had_waits_for_it_too(tmp_path: Path, fault: Callable[[Engine], None]) -> None:
    with running(tmp_path, replicas=1) as router:
        (one,) = router.engines
        with Load(router, 2) as load:
            one.mode = "hang"
            time.sleep(0.3)
            fault(one)
            time.sleep(0.5)
            killed(one)
            one.ready = False
            time.sleep(2)
            one.mode = "answer"
            one.start()
            one.ready = True
            load.more()
        assert load.lost == []


def test_a_request_does_not_wait_longer_than_it_may(tmp_path: Path) -> None:
    with running(tmp_path, replicas=1, queue_timeout=2) as router:
        killed(router.engines[0])
        router.engines[0].ready = False
        until(lambda: not seen_ready(router, "n1"))
        began = time.monotonic()
        assert router.ask().status == 503
        assert 1 < time.monotonic() - began < 10


def test_without_a_queue_a_request_is_refused_at_once(tmp_path: Path) -> None:
    with running(tmp_path, replicas=1, queue=0) as router:
        killed(router.engines[0])
        router.engines[0].ready = False
        until(lambda: not seen_ready(router, "n1"))
        answer = router.ask()
        assert answer.status == 503 and answer.headers["retry-after"] == "5"


def test_a_change_is_taken_over_and_no_stream_breaks_off(router: Router) -> None:
    for one in router.engines:
        one.mode = "pause"
    with router.connect() as stream, Load(router) as load:
        body = json.dumps({"stream": True}).encode()
        stream.sendall(post(len(body)) + body)
        data = stream.recv(65536)
        router.route["max_body_mib"] = 2
        router.write()
        router.reload()
        until(lambda: router.ask(body=b"x" * 1_500_000).status == 200)
        load.more()
        for one in router.engines:
            one.mode = "answer"
        while b"[DONE]" not in data:
            part = stream.recv(65536)
            assert part, "the stream broke off"
            data += part
    assert load.lost == []


def test_an_engine_that_thinks_for_long_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a client may stall while it sends."""
    monkeypatch.setattr(haproxy, "STALL_S", 1)
    with running(tmp_path) as router:
        for one in router.engines:
            one.mode = "hang"
            threading.Timer(4, setattr, (one, "mode", "answer")).start()
        assert router.ask().status == 200


def test_a_body_that_stops_coming_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "STALL_S", 1)
    with running(tmp_path) as router, router.connect() as one:
        one.sendall(post(1000) + b"x")
        assert b" 408 " in one.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("length", [1000, 900_000])
def test_a_body_that_crawls_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Also one that is larger than what is kept, and has reached an engine in part."""
    monkeypatch.setattr(haproxy, "BODY_S", 2)
    with running(tmp_path) as router, router.connect() as one:
        one.sendall(post(length) + b"x" * (length - 500))
        began = time.monotonic()
        one.settimeout(0.3)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while not answer and time.monotonic() < began + 20:
                one.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    answer = one.recv(4096) or b"hung up"
        assert answer and b" 200 " not in answer
        assert time.monotonic() - began < 15


def test_a_named_key_has_so_many_requests_at_a_time_and_is_counted(router: Router) -> None:
    for one in router.engines:
        one.mode = "hang"
    answers: list[Reply] = []
    threads = [threading.Thread(target=lambda: answers.append(router.ask(key=TEAM_KEY))) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) == 1)
    assert answers[0].status == 429 and answers[0].headers["retry-after"] == "1"
    assert "team-a has 2 requests at a time" in answers[0].json["error"]["message"]
    until(lambda: 'fullrank_router_requests_running{key="team-a"} 2' in router.metrics())
    for one in router.engines:
        one.mode = "answer"
    for thread in threads:
        thread.join()
    assert router.ask(key=TEAM_KEY, body=json.dumps({"stream": True}).encode()).body.endswith(b"[DONE]\n\n")
    assert router.ask(key="wrong").status == 401
    shown = router.metrics()
    assert 'fullrank_router_requests_total{key="none",code="401"} 1' in shown
    assert 'fullrank_router_requests_total{key="team-a",code="429"} 1' in shown
    assert 'fullrank_router_requests_total{key="team-a",code="200"} 3' in shown
    assert 'fullrank_router_requests_running{key="team-a"} 0' in shown
    # two answers of 3 and 4 tokens, and a stream that reported 30 and 100 in its last event
    assert 'fullrank_router_tokens_total{key="team-a",kind="prompt"} 36' in shown
    assert 'fullrank_router_tokens_total{key="team-a",kind="completion"} 108' in shown


def test_numbers_that_an_answer_repeats_do_not_break_the_counts(tmp_path: Path) -> None:
    """As FastAPI's 422 repeats what was sent."""
    with running(tmp_path, replicas=1) as router:
        engine = router.engines[0]
        engine.mode = "repeat"
        for number in ("99999999999999999999999999", "9999999999", "1e999", "-5"):
            assert router.ask(key=TEAM_KEY, body=b'{"prompt_tokens": %s, "x": 1}' % number.encode()).status == 422
        engine.mode = "answer"
        assert router.ask(key=TEAM_KEY).status == 200
        shown = router.metrics()
        assert 'fullrank_router_requests_total{key="team-a",code="422"} 4' in shown
        assert 'fullrank_router_tokens_total{key="team-a",kind="prompt"} 3' in shown


def test_a_key_is_revoked_and_no_engine_hears_of_it(router: Router) -> None:
    assert router.ask(key=TEAM_KEY).status == 200
    keys = router.folder / "tiny.keys"
    keys.write_text("".join(line for line in keys.read_text().splitlines(True) if not line.endswith("team-a\n")))
    router.reload()
    until(lambda: router.ask(key=TEAM_KEY).status == 401)
    assert router.ask().status == 200 and BODY in router.engines[0].bodies + router.engines[1].bodies
