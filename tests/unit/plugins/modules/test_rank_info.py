# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `rank_info`, over a stand-in of systemd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import rank_info
from module_runner import call
from places import DATA
from recorded import write
from systemd_standin import Systemd

UNIT, SUPERVISOR = "fullrank-rank@tiny.service", "fullrank-supervisor@tiny.service"
GROUP = {"phase": "ready", "ready": True, "summary": "serving", "epoch": 3, "failures": 0}


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Systemd:
    """A node with the units of a rank, of which none runs."""
    standin = Systemd(tmp_path)
    standin.install(monkeypatch)
    monkeypatch.setattr(rank_info.check, "status", lambda _deployment: None)
    for unit in (UNIT, SUPERVISOR):
        (tmp_path / unit).write_text(
            "[Unit]\nDescription=tiny: rank 0 of 2, vllm 0.32.0\n[Service]\nEnvironment=FULLRANK_SPEC_HASH=abc\n"
        )
    return standin


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_rank_that_runs(systemd: Systemd, monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    systemd.start(UNIT)
    systemd.start(SUPERVISOR)
    monkeypatch.setattr(rank_info.check, "status", lambda deployment: GROUP if deployment == "tiny" else None)
    found = call(rank_info, deployment="tiny", log_lines=5, check_mode=check_mode)
    assert found["changed"] is False and systemd.calls == []
    assert {name: found["rank_state"][name] for name in ("unit", "exists", "active", "spec_hash")} == {
        "unit": UNIT,
        "exists": True,
        "active": "active",
        "spec_hash": "abc",
    }
    assert (found["supervisor"]["unit"], found["supervisor"]["active"]) == (SUPERVISOR, "active")
    assert (found["engine"], found["group"], found["log"]) == ("vllm 0.32.0", GROUP, ["the last line of its log"])
    assert not {"answer", "metrics", "gpus"} & set(found), "these only where they were asked for"


def test_without_a_deployment_only_what_is_on_the_node_is_returned(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_info.systemd_state, "deployments", lambda: ["tiny"])
    found = call(rank_info)
    assert found["installed"] == ["tiny"] and not {"rank_state", "group", "drift"} & set(found)


def test_what_was_written_is_what_is_requested(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []
    config = {"deployment": "tiny", "url": "http://127.0.0.1:8011", "model": "tiny", "api_key": "sk-1", "names": ["n1"]}
    monkeypatch.setattr(rank_info.written, "read", lambda _deployment: config)
    monkeypatch.setattr(rank_info.answer, "ask", lambda *words, **_more: requests.append(words[:3]) or {"ready": True})
    inventory = {"deployment": "tiny", "url": "http://127.0.0.1:8000", "model": "tiny"}
    found = call(rank_info, as_written=True, **inventory)
    assert found["drift"] == ["serves at http://127.0.0.1:8011; the inventory has http://127.0.0.1:8000"]
    assert "drift" not in call(rank_info, **inventory)
    assert requests == [("http://127.0.0.1:8011", "tiny", "sk-1"), ("http://127.0.0.1:8000", "tiny", None)]


def test_a_node_without_the_rank_is_no_error(systemd: Systemd) -> None:
    found = call(rank_info, deployment="other")
    assert "failed" not in found
    assert (found["rank_state"]["exists"], found["rank_state"]["active"]) == (False, "inactive")
    assert (found["engine"], found["group"], found["log"]) == ("", {}, [])


def test_an_endpoint_that_does_not_answer_is_a_result(systemd: Systemd) -> None:
    # nothing listens on the discard port
    params = {"url": "http://127.0.0.1:9", "model": "tiny", "api_key": "sk-planted", "metrics": True, "timeout": 2}
    found = call(rank_info, deployment="tiny", **params)
    assert "failed" not in found
    assert (found["answer"]["ready"], found["answer"]["status"]) == (False, 0)
    assert "refused" in found["answer"]["error"] and "refused" in found["metrics"]["error"]
    assert "sk-planted" not in str(found)


def test_metrics_need_an_endpoint(systemd: Systemd) -> None:
    assert "metrics" not in call(rank_info, deployment="tiny", metrics=True)


def test_the_memory_of_the_gpus(systemd: Systemd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rank_info, "Host", lambda: Host(str(tmp_path)))
    assert call(rank_info, deployment="tiny", gpus=True)["gpus"] == []
    write(tmp_path, "commands/nvidia-smi -q -x", (DATA / "nvidia_smi/rtx-pro-6000-v13.xml").read_text())
    first, *_ = call(rank_info, deployment="tiny", gpus=True)["gpus"]
    assert set(first) == {"index", "memory_used_mib", "memory_total_mib"} and first["memory_total_mib"] > 90_000


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"deployment": "tiny", "url": "http://127.0.0.1:9"}, "missing parameter(s) required by 'url': model"),
        ({"deployment": "tiny", "log_lines": "all"}, "log_lines"),
    ],
)
def test_wrong_arguments_are_refused(params: dict[str, Any], message: str) -> None:
    result = call(rank_info, **params)
    assert result["failed"] and message in result["msg"]


def test_the_routers_of_the_node_are_known_by_their_units(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(names, "UNITS", str(tmp_path))
    assert call(rank_info, deployment="tiny")["routers"] == []
    for unit in ("fullrank-router@tiny.service", "fullrank-router@a.b-c.service", "fullrank-smg@x.service"):
        (tmp_path / unit).write_text("[Service]\n")
    assert call(rank_info, deployment="other")["routers"] == ["a.b-c", "tiny"]
