# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `router`, over a stand-in of systemd whose watchers take over what they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preflight_node
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import router
from module_runner import call
from router_samples import ROUTE, SMG
from systemd_standin import Systemd

UNIT = "fullrank-router@tiny.service"


def route(name: str = "tiny", **changes: Any) -> dict[str, Any]:
    server = {"name": "n1", "url": "http://192.0.2.1:8000", "ready": "http://192.0.2.1:8100/ready"}
    return {**ROUTE, "name": name, "servers": [server], **changes}


class Node(Systemd):
    """``error``: what the watchers report when they have read their configuration. ``deaf``: they do not read it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "units")
        self.root, self.error, self.deaf = root, "", False
        self.units.mkdir()

    def systemctl(self, verb: str, *words: str) -> tuple[int, str, str]:
        done = super().systemctl(verb, *words)
        if verb in ("start", "restart", "reload") and not self.deaf:
            name = words[-1].partition("@")[2][: -len(".service")]
            config = json.loads(Path(files.config_file(name)).read_text())
            report = {
                "config": files.digest(config),
                "error": self.error,
                "ready": True,
                "servers": {"n1": {"ready": True, "summary": "ready"}},
            }
            Path(files.run_folder(name)).mkdir(parents=True, exist_ok=True)
            Path(files.run_folder(name), "status.json").write_text(json.dumps(report))
        return done

    def texts(self) -> dict[str, str]:
        """Path → text of all files of this node, but the watchers' reports."""
        found = [path for path in self.root.rglob("*") if path.is_file() and self.root / "run" not in path.parents]
        return {str(path.relative_to(self.root)): path.read_text() for path in found}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.install(monkeypatch)
    monkeypatch.setattr(names, "UNITS", str(node.units))
    monkeypatch.setattr(files, "CONFIG", f"{tmp_path}/etc")
    monkeypatch.setattr(files, "PROGRAM", f"{tmp_path}/lib/router")
    monkeypatch.setattr(files, "run_folder", lambda name: f"{tmp_path}/run/{name}")
    monkeypatch.setattr(router, "Host", lambda: Host(str(tmp_path)))
    return node


def have(node: Node, *routes: dict[str, Any], **more: Any) -> dict[str, Any]:
    node.calls.clear()
    return call(router, routes=list(routes), **more)


def test_a_new_router_is_written_started_and_reported(node: Node) -> None:
    result = have(node, route())
    assert result["changed"] and node.calls == ["daemon-reload", f"enable {UNIT}", f"start {UNIT}"]
    assert result["lines"] == ["tiny is found at http://192.0.2.9:8080/v1 (n1 ready)"]
    assert result["routers"]["tiny"]["ready"] is True
    assert {f"units/{UNIT}", "etc/tiny.json", "etc/tiny.nginx.conf"} < set(node.texts())
    assert any(path.startswith("lib/router/") and path.endswith("agent.py") for path in node.texts())


def test_a_second_run_changes_nothing(node: Node) -> None:
    have(node, route())
    before = node.texts()
    result = have(node, route())
    assert (result["changed"], result["diff"], node.calls, node.texts()) == (False, [], [], before)
    assert result["routers"]["tiny"]["runs"] is True


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({"timeout": 60}, [f"reload {UNIT}"]),
        ({"port": 80}, ["daemon-reload", f"restart {UNIT}"]),  # a port below 1024 takes a capability, so another unit
    ],
)
def test_a_change_ends_no_request_that_need_not_end(node: Node, changes: dict[str, int], calls: list[str]) -> None:
    have(node, route())
    result = have(node, route(**changes))
    assert result["changed"] and node.calls == calls
    assert f"{node.root}/etc/tiny.json" in {one.get("after_header", "").partition(" ")[0] for one in result["diff"]}


def test_a_comment_of_an_older_version_in_the_unit_ends_no_request(node: Node) -> None:
    have(node, route())
    unit = node.units / UNIT
    unit.write_text(unit.read_text().replace("# ", "# an older version: "))
    assert have(node, route())["changed"]
    assert node.calls == ["daemon-reload", f"reload {UNIT}"]


def test_a_program_of_another_version_is_replaced_with_what_it_lacks(node: Node) -> None:
    have(node, route())
    agent = next(node.root.glob("lib/router/**/agent.py"))
    (agent.parent / "former.py").write_text("pass\n")
    agent.write_text("pass\n")
    assert have(node, route())["changed"] and node.calls == [f"reload {UNIT}"]
    assert not (agent.parent / "former.py").exists() and agent.read_text() != "pass\n"


def test_what_is_not_routed_any_more_goes(node: Node) -> None:
    have(node, route(), route("big", port=8081))
    have(node, route())
    unit = "fullrank-router@big.service"
    assert node.calls == [f"disable {unit}", f"stop {unit}", "daemon-reload"]
    assert not [path for path in node.texts() if "big" in path] and UNIT in node.running


def test_absent_leaves_nothing_and_is_done_once(node: Node) -> None:
    have(node, route())
    result = have(node, state="absent")
    assert result["changed"] and node.texts() == {} and not node.running and "routers" not in result
    assert have(node, state="absent")["changed"] is False


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_changes_nothing_and_reports_that_it_would(node: Node, state: str) -> None:
    have(node, route())
    before = node.texts()
    result = have(node, route(timeout=60), state=state, check_mode=True)
    assert result["changed"] and result["diff"] and node.calls == [] and node.texts() == before


def test_a_port_that_another_program_holds_stops_it_before_a_change(node: Node) -> None:
    preflight_node.listen(node.root, 8080)
    result = have(node, route())
    assert result["failed"] and "port 8080 is in use by nginx (pid 77, nginx.service)" in result["msg"]
    assert [one["code"] for one in result["findings"]] == ["port-in-use"]
    assert node.calls == [] and not list(node.units.iterdir())


def test_a_replica_whose_name_is_not_known_here_stops_it(node: Node) -> None:
    server = {"name": "n1", "url": "http://no-such-node.invalid:8000", "ready": ""}
    result = have(node, route(servers=[server]))
    assert result["failed"] and [one["code"] for one in result["findings"]] == ["name-not-resolved"]
    assert "give n1 an address as ansible_host" in result["msg"]


def test_a_watcher_that_refuses_its_configuration_is_quoted_with_its_log(node: Node) -> None:
    node.error = "nginx: [emerg] bind() failed"
    result = have(node, route())
    assert result["failed"] and result["changed"]
    assert result["msg"] == "router of tiny: nginx: [emerg] bind() failed\nthe last line of its log"


def test_a_watcher_that_does_not_read_its_configuration_is_given_up(node: Node) -> None:
    node.deaf = True
    result = have(node, route(), timeout=0)
    assert result["failed"] and "router of tiny: it does not take over its configuration" in result["msg"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"state": "queried"}, "value of state must be one of: present, absent, got: queried"),
        ({"routes": ["tiny"]}, "routes"),
        ({"timeout": "soon"}, "timeout"),
    ],
)
def test_wrong_arguments_are_refused(params: dict[str, Any], message: str) -> None:
    result = call(router, **params)
    assert result["failed"] and message in result["msg"]


def test_who_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise OSError("Name or service not known")

    route = {**ROUTE, "servers": [{"name": "n1", "url": "http://127.0.0.1:8000", "ready": ""}], "balancer": SMG}
    assert router.ports(route) == {8080: "router_port", 18080: "router_smg_port", 18081: "router_smg_port"}
    own = {"port": 8080, "pid": 7, "command": "nginx", "unit": "fullrank-router@tiny.service"}
    other = {"port": 18080, "pid": 8, "command": "python3", "unit": ""}
    (one,) = router.obstacles([route], [own, other])
    assert one["where"] == "router_smg_port of tiny" and "python3 (pid 8)" in one["message"]
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert [one["code"] for one in router.obstacles([route], [])] == ["name-not-resolved"]
