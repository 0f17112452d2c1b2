# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `model_distribute`: a node's part, started, watched and stopped, with a stand-in of systemd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import request
from ansible_collections.fullrank.serving.plugins.modules import model_distribute
from module_runner import call
from transient_standin import Systemd, properties

TOKEN = "not-to-be-seen"
PART: dict[str, Any] = {
    **{"deployment": "tiny", "timeout": 60, "manifest": {"files": []}, "slice_bytes": 1, "streams": 2, "port": 7000},
    **{"address": "192.0.2.1", "peers": [], "upstreams": [], "rsh": "", "stall_s": 60, "linger_s": 60},
}


class Node:
    def __init__(self, work: Path, systemd: Systemd) -> None:
        self.systemd, self.path = systemd, str(work / "model")
        self.part_folder = Path(request.part_folder(self.path))
        self.progress_file = Path(request.progress_file(self.path))

    def call(self, state: str, **more: Any) -> dict[str, Any]:
        return call(model_distribute, state=state, path=self.path, **more)

    def start(self, **changes: Any) -> dict[str, Any]:
        return self.call("started", part=PART | changes, token=TOKEN)

    def reports(self, **progress: Any) -> None:
        """The program writes this as soon as it is started."""
        self.systemd.on_start(f"echo '{json.dumps(progress)}' > {self.progress_file}")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(request, "RUN", str(tmp_path / "run"))
    return Node(tmp_path, Systemd(tmp_path / "systemd", monkeypatch))


def test_a_part_is_started_with_its_token_in_a_file_only(node: Node) -> None:
    node.reports(phase="checking")
    found = node.start()
    assert (found["changed"], found["active"], found["progress"]) == (False, True, {"phase": "checking"})
    [words] = node.systemd.calls("systemd-run")
    config = node.part_folder / "config.json"
    assert TOKEN not in " ".join(words)
    assert json.loads(config.read_text())["token"] == TOKEN
    assert (config.stat().st_mode & 0o777, node.part_folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert Path(node.path).is_dir() and properties(words)["ProtectSystem"] == "strict"
    assert (node.part_folder / "fullrank_transfer/weights/transfer/peer.py").exists()


def test_a_look_tells_how_far_it_is_and_a_stop_leaves_nothing(node: Node) -> None:
    node.reports(phase="receiving", bytes=5)
    node.start()
    assert node.call("present")["progress"] == {"phase": "receiving", "bytes": 5}
    node.call("stopped")
    assert not node.part_folder.exists() and not node.progress_file.parent.exists()
    found = node.call("present")
    assert (found["active"], "progress" in found) == (False, False)


def test_a_part_that_cannot_listen_reports_why(node: Node) -> None:
    node.reports(phase="failed", error="port 7000: Address already in use")
    found = node.start()
    assert found["failed"] and found["msg"] == "port 7000: Address already in use"


def test_a_part_that_ends_at_once_points_to_its_journal(node: Node) -> None:
    node.systemd.on_start(f"rm {node.systemd.folder}/active")
    found = node.start()
    assert found["failed"] and f"journalctl -u {request.transfer_id(node.path)}" in found["msg"]


def test_a_unit_that_systemd_refuses_leaves_no_token(node: Node) -> None:
    node.systemd.refuses()
    found = node.start()
    assert found["failed"] and "Failed to start transient service unit" in found["msg"]
    assert not node.part_folder.exists()


def test_the_transfer_of_another_deployment_is_not_ended(node: Node) -> None:
    node.reports(phase="receiving")
    node.start()
    found = node.start(deployment="other")
    assert found["failed"] and "a transfer for deployment tiny is under way" in found["msg"]
    assert len(node.systemd.calls("systemd-run")) == 1
    assert "failed" not in node.start()  # its own is replaced
    assert len(node.systemd.calls("systemd-run")) == 2


def test_a_node_that_rsync_does_not_reach_is_named_before_anything_changes(node: Node, tmp_path: Path) -> None:
    rsync = tmp_path / "systemd/rsync"
    rsync.write_text("#!/bin/sh\necho 'ssh: connect to host: refused' >&2; exit 255\n")
    rsync.chmod(0o755)
    found = node.start(rsh="ssh -p 23", upstreams=[{"name": "n3", "address": "192.0.2.3", "port": 1}])
    assert found["failed"] and "does not reach n3 (192.0.2.3) by ssh -p 23: ssh: connect to host" in found["msg"]
    assert not Path(node.path).exists() and node.systemd.calls("systemd-run") == []


@pytest.mark.parametrize("state", ["started", "present", "stopped"])
def test_check_mode_does_nothing(node: Node, state: str) -> None:
    found = node.call(state, check_mode=True)
    assert (found["changed"], found["skipped"]) == (False, True)
    assert node.systemd.calls("systemd-run") == node.systemd.calls("systemctl") == []


@pytest.mark.parametrize("state", ["inspected", "awaited", "running"])
def test_states_that_are_no_states_are_refused(node: Node, state: str) -> None:
    assert node.call(state)["failed"]


def test_a_folder_of_others_receives_nothing(node: Node) -> None:
    folder = Path(node.path)
    folder.mkdir()
    (folder / "secret.conf").touch()
    found = node.start(upstreams=[{"name": "n1", "address": "192.0.2.1", "port": 1}])
    assert found["failed"] and "holds secret.conf and has no .fullrank" in found["msg"]
    assert [one.name for one in folder.iterdir()] == ["secret.conf"] and not node.part_folder.exists()
