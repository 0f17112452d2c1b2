# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths ask for the key, by probes that change nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import open_paths
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.checks import Answer

KEY, WRONG = "sk-right", "sk-wrong"


class Server:
    """Checks the key of what ``guards`` names, before it looks at the method; ``sent`` has what was sent."""

    def __init__(self, guards: tuple[str, ...] = ("/v1",), routes: dict[str, str] | None = None) -> None:
        self.guards, self.routes = guards, {"/v1/chat/completions": "post"} | (routes or {})
        self.sent: list[tuple[str, str, str | None]] = []
        self.lists = False
        self.status: dict[str, int] = {}

    def __call__(
        self, url: str, body: dict[str, Any] | None, key: str | None, *, method: str = "", host: str = ""
    ) -> Answer:
        path = url.removeprefix("http://x")
        self.sent.append((method or "GET", path, key))
        if path in self.status:
            return Answer(self.status[path], error="timed out" if not self.status[path] else "")
        if path == "/openapi.json" and self.lists and not method:
            return Answer(200, json.dumps({"paths": {one: {of: {}} for one, of in self.routes.items()}}))
        known = path in self.routes
        if path.startswith(self.guards) and key != KEY:
            return Answer(401)
        return Answer(405 if known else 404)


def look(server: Server, engine: str = "vllm") -> open_paths.Paths:
    return open_paths.look("http://x", (engine,), KEY, WRONG, server)


def test_what_is_there_and_asks_for_no_key_is_open() -> None:
    routes = {"/invocations": "post", "/sleep": "post", "/version": "get", "/v1/models": "get"}
    found = look(Server(routes=routes))
    assert found.open_to_all == {"the model": ["/invocations"], "control": ["/sleep"], "information": ["/version"]}
    assert found.text == "the model: /invocations; control: /sleep; information: /version"
    assert found.closed > 0 and not found.unknown


def test_every_probe_is_of_a_method_that_no_route_has() -> None:
    server = Server(routes={"/sleep": "post"})
    look(server)
    assert {method for method, path, _key in server.sent if path != "/openapi.json"} == {"PATCH"}
    methods = "get post put delete head options"
    assert open_paths.PROBE.lower() not in methods.split()


def test_a_closed_path_is_tried_with_a_wrong_key_too() -> None:
    server = Server(guards=("/",))
    found = look(server)
    assert found.open_to_all == {} and found.closed == len(open_paths.known(("vllm",)))
    assert {key for _method, path, key in server.sent if path == "/sleep"} == {None, WRONG}


def test_paths_that_the_server_lists_itself() -> None:
    server = Server(routes={"/new/{name}": "post", "/shown": "get", "/patched": "patch", "/health": "get"})
    server.lists = True
    server.routes["/new/x"] = "post"
    assert look(server).open_to_all == {"control": ["/new/x"], "information": ["/shown"]}
    assert "/patched" not in {path for _method, path, _key in server.sent}, "there the probe would run something"


class Router(Server):
    """Passes on a list of requests; checks the key of those only, after path and method."""

    def __call__(
        self, url: str, body: dict[str, Any] | None, key: str | None, *, method: str = "", host: str = ""
    ) -> Answer:
        path, sent = url.removeprefix("http://x"), method or "GET"
        self.sent.append((sent, path, key))
        if self.routes.get(path) != sent.lower():
            return Answer(404)
        return Answer(401) if path not in self.status and key != KEY else Answer(self.status.get(path, 422))


def test_a_router_that_passes_on_a_list_of_requests() -> None:
    routes = {"/v1/models": "get", "/v1/embeddings": "post"}
    found = look(Router(routes=routes))
    assert found.open_to_all == {} and not found.unknown
    assert found.closed + found.left_out == len(open_paths.known(("vllm",)))


def test_what_such_a_router_lets_through_without_a_key() -> None:
    server = Router(routes={"/invocations": "post", "/metrics": "get", "/scale_elastic_ep": "post", "/sleep": "post"})
    server.status = {"/invocations": 422, "/metrics": 200, "/scale_elastic_ep": 400, "/sleep": 200}
    found = look(server)
    assert found.open_to_all == {
        "the model": ["/invocations"],
        "control": ["/scale_elastic_ep"],
        "information": ["/metrics"],
    }


@pytest.mark.parametrize("engine", list(open_paths.PATHS))
def test_requests_of_clients_change_nothing(engine: str) -> None:
    """A path of control is requested as clients do only where an empty object is refused."""
    server = Router()
    found = look(server, engine)
    controls = {path for path, what in open_paths.known((engine,)).items() if what == open_paths.CONTROL}
    sent = {path for method, path, _key in server.sent if method != open_paths.PROBE}
    assert sent & controls <= open_paths.TAKE_A_BODY
    assert found.left_out == len(controls - open_paths.TAKE_A_BODY)


def test_a_server_that_answers_the_first_probe_proves_nothing() -> None:
    server = Server()
    server.status["/v1/chat/completions"] = 200
    found = look(server)
    assert found.open_to_all == {} and "answered by HTTP 200" in found.unknown
    assert len(server.sent) == 1


@pytest.mark.parametrize("status", [0, 429])
def test_a_server_that_stops_answering_ends_it(status: int) -> None:
    server = Server()
    server.status["/sleep"] = status
    assert look(server).unknown.startswith("/sleep was")
    server.status["/v1/chat/completions"] = 0
    assert look(server).unknown == "timed out"


@pytest.mark.parametrize("engine", list(open_paths.PATHS))
def test_the_table(engine: str) -> None:
    words = [path for line in open_paths.PATHS[engine].values() for path in line.split()]
    assert len(words) == len(set(words)) == len(open_paths.known((engine,)))
    assert all(path.startswith("/") and not path.endswith("/") for path in words)
    assert not set(words) & set(open_paths.HEALTHY)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(200, "{}"), "open"),
        (Answer(401), "closed"),
        (Answer(400), "closed"),
        (Answer(0, error="refused"), "refused"),
    ],
)
def test_a_host_header(answer: Answer, found: str) -> None:
    def ask(url: str, body: dict[str, Any] | None, key: str | None, *, method: str = "", host: str = "") -> Answer:
        assert (url, body, key, method) == ("http://x/v1/models", None, None, "")
        assert {"/", "?"} <= set(host)
        return answer

    assert open_paths.host_header("http://x", ask) == found
