# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rdma_stack_info over a recorded node: what is missing, what removes it, and what prevents it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.modules import rdma_stack_info
from module_runner import call
from rdma_nodes import recorded_node


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recorded_node(tmp_path)
    monkeypatch.setattr(rdma_stack_info, "Host", lambda *_: Host(str(tmp_path)))
    return tmp_path


def snapshot(root: Path) -> dict[str, Any]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("node")
def test_the_packages_and_files_of_the_distributions_stack() -> None:
    result = call(rdma_stack_info)
    assert result["changed"] is False and result["skip"] == "" and result["stack"] == ""
    assert "rdma-core" in [name for one in result["packages"] for name in one["names"]]
    assert result["repository"] == {} and result["uninstall"] == []
    assert all(one.get("state", "present") == "present" for one in result["files"] if "content" in one)


def test_nothing_is_written(node: Path) -> None:
    before = snapshot(node)
    assert call(rdma_stack_info, check_mode=True) == call(rdma_stack_info)
    assert snapshot(node) == before


@pytest.mark.usefixtures("node")
def test_removal_returns_what_takes_our_files_away() -> None:
    result = call(rdma_stack_info, removal=True)
    assert result["files"] and {one["state"] for one in result["files"]} == {"absent"}


@pytest.mark.usefixtures("node")
def test_everything_that_prevents_the_stack_is_one_failure() -> None:
    result = call(rdma_stack_info, source="mlnx_ofed")
    assert result["failed"] and "nothing was changed" in result["msg"]
    assert [one for one in result["findings"] if one["severity"] == "fail"]


@pytest.mark.usefixtures("node")
def test_an_unknown_source_is_refused() -> None:
    assert "value of source must be one of" in call(rdma_stack_info, source="ofed")["msg"]


def test_a_node_without_cards_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=24.04\n")
    monkeypatch.setattr(rdma_stack_info, "Host", lambda *_: Host(str(tmp_path)))
    result = call(rdma_stack_info)
    assert "failed" not in result and result["skip"] and result["packages"] == []
