# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `router`, over a stand-in of systemd and of HAProxy's socket."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import preflight_node
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, former, status
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import router
from module_runner import call
from router_samples import ROUTE, SMG, key
from systemd_standin import Systemd

UNIT = "fullrank-router@tiny.service"


def route(name: str = "tiny", **changes: Any) -> dict[str, Any]:
    server = {"name": "n1", "url": "http://192.0.2.1:8000", "ready": "http://192.0.2.1:8100/ready"}
    return {**ROUTE, "name": name, "servers": [server], **changes}


class Node(Systemd):
    """``deaf``: no router takes over what is written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "units")
        self.root, self.deaf = root, False
        self.loaded: dict[str, str] = {}
        self.units.mkdir()

    def systemctl(self, verb: str, *words: str) -> tuple[int, str, str]:
        done = super().systemctl(verb, *words)
        unit = words[-1] if words else ""
        if verb in ("start", "restart", "reload") and unit.startswith("fullrank-router@") and not self.deaf:
            name = unit.partition("@")[2][: -len(".service")]
            self.loaded[name] = files.digest_in(Path(files.path(name, ".cfg")).read_text())
        return done

    def read(self, name: str) -> dict[str, Any]:
        """In the place of `status.read`."""
        running = f"fullrank-router@{name}.service" in self.running
        return {"config": self.loaded.get(name, ""), "servers": {"n1": True}} if running else {}

    def texts(self) -> dict[str, str]:
        """Path → text of all files of this node."""
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_text() for path in found}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.install(monkeypatch)
    monkeypatch.setattr(names, "UNITS", str(node.units))
    monkeypatch.setattr(files, "CONFIG", f"{tmp_path}/etc")
    monkeypatch.setattr(files, "PROGRAM", f"{tmp_path}/lib/router")
    monkeypatch.setattr(former, "CACHES", (f"{tmp_path}/cache",))
    monkeypatch.setattr(router.grp, "getgrnam", lambda name: SimpleNamespace(gr_gid=os.getgid()))
    monkeypatch.setattr(router, "Host", lambda: Host(str(tmp_path)))
    monkeypatch.setattr(status, "read", node.read)
    monkeypatch.setattr(status, "version", lambda: (3, 0, 11))
    return node


def have(node: Node, *routes: dict[str, Any], **more: Any) -> dict[str, Any]:
    node.calls.clear()
    return call(router, routes=list(routes), **more)


def test_a_new_router_is_written_started_and_reported(node: Node) -> None:
    result = have(node, route())
    assert result["changed"] and node.calls == ["daemon-reload", f"enable {UNIT}", f"start {UNIT}"]
    assert result["lines"] == ["tiny is found at http://192.0.2.9:8080/v1 (n1 ready)"]
    assert result["routers"]["tiny"]["ready"] is True
    assert {f"units/{UNIT}", "etc/tiny.json", "etc/tiny.cfg", "lib/router/router.lua"} < set(node.texts())


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
    assert f"{node.root}/etc/tiny.cfg" in {one.get("after_header", "").partition(" ")[0] for one in result["diff"]}


def test_a_comment_of_an_older_version_in_the_unit_ends_no_request(node: Node) -> None:
    have(node, route())
    unit = node.units / UNIT
    unit.write_text(unit.read_text().replace("# ", "# an older version: "))
    assert have(node, route())["changed"]
    assert node.calls == ["daemon-reload", f"reload {UNIT}"]


def test_a_program_of_another_version_is_replaced(node: Node) -> None:
    have(node, route())
    program = node.root / "lib/router/router.lua"
    program.write_text("-- old\n")
    assert have(node, route())["changed"] and node.calls == [f"reload {UNIT}"]
    assert program.read_text() == files.programs()[str(program)]


def test_a_change_that_was_written_and_not_taken_over_is_taken_over_by_the_next_run(node: Node) -> None:
    have(node, route())
    node.deaf = True
    assert have(node, route(timeout=60), timeout=0)["failed"]
    node.deaf = False
    node.calls.clear()
    result = have(node, route(timeout=60), timeout=20)
    assert "failed" not in result and f"reload {UNIT}" in node.calls


def test_keys_are_written_for_the_routers_alone_and_never_shown(node: Node) -> None:
    keys = [key("engine", "the-engines-own-key"), key("team-a"), key("engine", "of-another-route", "big")]
    result = have(node, route(key_required=True), keys=keys)
    assert "the-engines-own-key" not in str(result) and key("team-a")["sha256"] not in str(result)
    mode = (node.root / "etc/tiny.keys").stat().st_mode & 0o777
    assert mode == (node.root / "etc/tiny.engine").stat().st_mode & 0o777 == 0o640
    assert node.texts()["etc/tiny.engine"] == "key the-engines-own-key\n"
    assert have(node, route(key_required=True), keys=keys)["changed"] is False
    result = have(node, route(key_required=True), keys=keys[:1])
    assert result["changed"] and node.calls == [f"reload {UNIT}"]
    assert "team-a" not in node.texts()["etc/tiny.keys"]
    have(node, route())
    assert not [path for path in node.texts() if path.endswith((".keys", ".engine"))]


def test_a_file_with_keys_that_others_may_read_or_routers_may_not_is_written_again(node: Node) -> None:
    keys = [key("engine", "the-engines-own-key")]
    have(node, route(), keys=keys)
    (node.root / "etc/tiny.engine").chmod(0o644)
    assert have(node, route(), keys=keys)["changed"] and node.calls == [f"reload {UNIT}"]
    assert (node.root / "etc/tiny.engine").stat().st_mode & 0o777 == 0o640


def test_a_certificate_and_its_key_become_one_file_and_a_new_one_is_taken_over(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router.obstacles, "_unusable", lambda certificate, own: "")
    mine = {"tls": True, "tls_own": False, "tls_certificate": str(tmp_path / "c"), "tls_key": str(tmp_path / "k")}
    (tmp_path / "c").write_text("certificate\n")
    (tmp_path / "k").write_text("its private key\n")
    result = have(node, route(**mine))
    assert node.texts()["etc/tiny.pem"] == "certificate\nits private key\n" and "private" not in str(result)
    (tmp_path / "c").write_text("renewed\n")
    assert have(node, route(**mine))["changed"] and node.calls == [f"reload {UNIT}"]


def test_smg_has_a_unit_where_it_is_asked_for(node: Node) -> None:
    have(node, route(balancer=SMG))
    assert {UNIT, "fullrank-smg@tiny.service"} <= set(node.running)
    have(node, route())
    assert "fullrank-smg@tiny.service" not in node.running and not [one for one in node.texts() if "smg" in one]


def test_nginx_and_its_watcher_of_the_version_before_make_room(node: Node) -> None:
    unit = node.units / UNIT
    unit.write_text("[Service]\nExecStart=/usr/bin/python3 -m fullrank_router.router.agent\n")
    node.running[UNIT] = unit.read_text()
    for path in (
        "etc/tiny.json",
        "etc/tiny.nginx.conf",
        "lib/router/fullrank_router/agent.py",
        "cache/fullrank-router/tiny/body",
    ):
        file = node.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    assert have(node, route())["changed"]
    assert node.calls[:2] == [f"stop {UNIT}", "daemon-reload"] and node.calls[-1] == f"start {UNIT}"
    assert not [
        path for path in node.texts() if "nginx" in path or "fullrank_router" in path or path.startswith("cache")
    ]
    assert have(node, route())["changed"] is False


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


def test_a_router_that_does_not_take_over_its_configuration_is_given_up_with_its_log(node: Node) -> None:
    node.deaf = True
    result = have(node, route(), timeout=0)
    assert result["failed"] and result["changed"]
    assert result["msg"] == "router of tiny: it does not take over its configuration\nthe last line of its log"


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


def test_what_is_shown_of_files_with_keys_ends_its_line(node: Node) -> None:
    shown = [*have(node, route(), keys=[key("engine")])["diff"], *have(node)["diff"]]
    prepared = [one["prepared"] for one in shown if "prepared" in one]
    assert len(prepared) >= 4 and all(one.endswith("\n") for one in prepared)


def test_the_routers_of_some_deployments_are_removed_and_the_others_serve_on(node: Node) -> None:
    have(node, route(), route("other", port=8081, metrics_port=28081))
    result = call(router, state="absent", deployments=["tiny", "nothing"])
    assert result["changed"] and result["left"] == ["other"]
    assert list(node.running) == ["fullrank-router@other.service"] and "lib/router/router.lua" in node.texts()
    assert not call(router, state="absent", deployments=["tiny"])["changed"]
    last = call(router, state="absent", deployments=["other"])
    assert last["changed"] and last["left"] == [] and node.texts() == {}
    assert not call(router, state="absent", deployments=["other"])["changed"]


def test_a_running_router_forgets_a_key_that_was_taken_out_before_it_is_replaced(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []

    def command(name: str, words: str) -> str:
        assert "reload" not in str(node.calls)
        sent.append((name, words))
        return ""

    monkeypatch.setattr(status, "command", command)
    have(node, route(), keys=[key("engine"), key("team-a"), key("team-b")])
    have(node, route(), keys=[key("engine"), key("team-b")], check_mode=True)
    assert sent == []
    have(node, route(), keys=[key("engine"), key("team-b")])
    assert sent == [("tiny", f"del map {files.path('tiny', '.keys')} {key('team-a')['sha256']}")]
    assert f"reload {UNIT}" in node.calls
    sent.clear()
    have(node, route())
    assert {words.split()[-1] for _name, words in sent} == {key(one)["sha256"] for one in ("engine", "team-b")}
