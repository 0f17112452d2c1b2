# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a node, applied, found applied and restored. Facts, files and values are stand-ins in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import plan
from ansible_collections.fullrank.serving.plugins.modules import host_tuning
from module_runner import call, calls, only_programs, program


class Node:
    """A node with one kernel setting; its facts come from the files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.somaxconn = folder / "somaxconn"
        self.somaxconn.write_text("4096\n")
        self.record = folder / "record.json"
        self.sysctl = folder / "90-fullrank.conf"
        self.engines: tuple[str, ...] = ()
        self.reload_pending = False

    def facts(self, *_: Any) -> plan.Facts:
        first = json.loads(self.record.read_text()) if self.record.exists() else {}
        path = str(self.somaxconn)
        return plan.Facts(values={path: self.somaxconn.read_text()}, first=first, engines=self.engines)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    one = Node(tmp_path)
    program(tmp_path, "systemctl", "")
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    monkeypatch.setattr(host_tuning, "RECORD", str(one.record))
    monkeypatch.setattr(host_tuning, "collect", one.facts)
    monkeypatch.setattr(plan, "sysctl_path", lambda key: str(one.somaxconn))
    monkeypatch.setattr(plan, "SYSCTL_FILE", str(one.sysctl))
    monkeypatch.setattr(plan, "OWN_FILES", (str(one.sysctl),))
    return one


WISH = {"sysctl": {"net.core.somaxconn": 8192}, "time_sync": False}


def test_values_files_and_record_are_written_once(node: Node) -> None:
    result = call(host_tuning, **WISH)
    assert result["changed"] and result["pending"]
    assert result["settings"] == {str(node.somaxconn): "8192"} and result["changed_paths"] == [str(node.sysctl)]
    assert node.somaxconn.read_text() == "8192\n" and "net.core.somaxconn = 8192" in node.sysctl.read_text()
    assert json.loads(node.record.read_text()) == {"values": {str(node.somaxconn): "4096"}}
    assert calls(node.folder) == ["systemctl daemon-reload"]
    again = call(host_tuning, **WISH)
    assert not again["changed"] and not again["pending"]
    assert calls(node.folder) == ["systemctl daemon-reload"]


def test_check_mode_shows_the_same_and_writes_nothing(node: Node) -> None:
    result = call(host_tuning, check_mode=True, **WISH)
    assert result["changed"] and result["settings"] == {str(node.somaxconn): "8192"}
    assert f"{node.somaxconn} = 4096\n" in result["diff"][-1]["before"]
    assert f"{node.somaxconn} = 8192\n" in result["diff"][-1]["after"]
    assert node.somaxconn.read_text() == "4096\n" and calls(node.folder) == []
    assert not node.sysctl.exists() and not node.record.exists()


def test_absent_restores_what_was_found_first(node: Node) -> None:
    call(host_tuning, **WISH)
    foreseen = call(host_tuning, check_mode=True, state="absent")
    assert foreseen["changed"] and node.record.exists()
    assert call(host_tuning, state="absent")["changed"]
    assert node.somaxconn.read_text() == "4096\n" and not node.sysctl.exists() and not node.record.exists()
    assert not call(host_tuning, state="absent")["changed"]


def test_systemd_is_not_reloaded_while_ranks_run(node: Node) -> None:
    node.engines = ("fullrank-r1.service",)
    assert call(host_tuning, **WISH)["changed"]
    assert calls(node.folder) == []


def test_all_wrong_settings_are_refused_together(node: Node) -> None:
    result = call(host_tuning, sysctl={"net.core.somaxcon": 1, "vm.swappiness": "much"}, firewall_peers=["head"])
    assert result["failed"] and result["msg"].startswith("nothing was changed: 3 findings\n")
    assert "did you mean net.core.somaxconn" in result["msg"] and "'head' is no address" in result["msg"]
    assert [one["code"] for one in result["findings"]] == ["unknown-key", "value", "address"]
    assert node.somaxconn.read_text() == "4096\n"


def test_a_value_that_the_kernel_refuses_is_named(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_text

    def refuse(path: Path, text: str, **more: Any) -> int:
        if path == node.somaxconn:
            raise OSError(22, "Invalid argument")
        return written(path, text, **more)

    monkeypatch.setattr(Path, "write_text", refuse)
    result = call(host_tuning, **WISH)
    assert result["failed"] and result["msg"] == f"{node.somaxconn}: the kernel refuses '8192': Invalid argument"
    assert json.loads(node.record.read_text())["values"] == {str(node.somaxconn): "4096"}, "the record came first"


def test_a_value_that_the_kernel_holds_differently_is_an_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_text

    def fewer(path: Path, text: str, **more: Any) -> int:
        return written(path, "5000\n" if path == node.somaxconn else text, **more)

    monkeypatch.setattr(Path, "write_text", fewer)
    assert "'8192' was written, but the kernel holds '5000'" in call(host_tuning, **WISH)["msg"]


def test_a_command_that_fails_ends_the_module(node: Node) -> None:
    program(node.folder, "systemctl", "echo no >&2; exit 1")
    assert call(host_tuning, **WISH)["failed"]


def test_the_clock_daemon_that_runs_is_restarted_for_new_servers(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    chrony = node.folder / "chrony.conf"
    monkeypatch.setattr(plan, "CHRONY_FILE", str(chrony))
    monkeypatch.setattr(plan, "OWN_FILES", (str(chrony),))
    units = {
        "chrony": {"LoadState": "loaded", "ActiveState": "active"},
        "ntpd": {"LoadState": "loaded", "ActiveState": "inactive"},
    }
    monkeypatch.setattr(host_tuning, "collect", lambda *_: plan.Facts(values={}, first={}, units=units))
    assert call(host_tuning, ntp_servers=["192.0.2.1"])["changed"]
    assert "server 192.0.2.1 iburst" in chrony.read_text()
    assert calls(node.folder) == ["systemctl daemon-reload", "systemctl try-restart chrony"]
