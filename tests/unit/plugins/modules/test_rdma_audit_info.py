# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rdma_audit_info over a recorded node: checks with a status, and no failure of the task."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.modules import rdma_audit_info
from module_runner import call
from rdma_nodes import recorded_node


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recorded_node(tmp_path)
    monkeypatch.setattr(rdma_audit_info, "Host", lambda *_: Host(str(tmp_path)))
    return tmp_path


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_stack_that_is_not_installed_is_a_failed_check_and_no_failed_task(check_mode: bool) -> None:
    result = call(rdma_audit_info, check_mode=check_mode)
    assert "failed" not in result and result["changed"] is False
    status = {one["code"]: one["severity"] for one in result["checks"]}
    assert (status["stack"], status["ports"]) == ("fail", "pass")
    assert all(one["remedy"] for one in result["checks"] if one["severity"] == "fail")


def test_the_ports_and_what_nodes_are_compared_by() -> None:
    result = call(rdma_audit_info)
    assert result["node"]["active"] and result["reboot_required"] == ""


def test_an_announced_stack_is_not_judged() -> None:
    (stack,) = [one for one in call(rdma_audit_info, announced=True)["checks"] if one["code"] == "stack"]
    assert stack["severity"] == "skipped"


def test_modules_that_are_not_loaded_are_named() -> None:
    (one,) = [one for one in call(rdma_audit_info, modules=["not_there"])["checks"] if one["code"] == "modules"]
    assert one["severity"] == "fail" and "not_there" in one["message"]
