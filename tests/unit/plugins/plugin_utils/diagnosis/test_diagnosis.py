# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's side of a diagnosis on a recorded node, and the one answer of all ranks."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.action.diagnose_bundle import pack
from ansible_collections.fullrank.serving.plugins.module_utils.diagnose import snapshot
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.modules.diagnose import secrets_on_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import diagnosis, failures, tables
from recorded import unpack, write

SIGNATURES = tables.failures()
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
LOST = "RuntimeError: [pair.cc:534] Connection closed by peer [10.0.0.2]:10895"


def result(*lines: str, active: str = "active", **more: Any) -> dict[str, Any]:
    state = {"active": active, "exists": True, "result": "exit-code", "exit_status": 1}
    return {
        "rank_state": state,
        "sightings": failures.search(SIGNATURES, lines),
        "last_error": failures.last_error(lines),
        **more,
    }


READY = {"ready": True, "error": "", "seconds": 0.2}
NOT_READY = {"ready": False, "error": "Connection refused", "seconds": 0.0}


def test_a_healthy_deployment_says_so_and_nothing_of_the_past() -> None:
    found = diagnosis.diagnose(SIGNATURES, ["n1", "n2"], [result(LOST, OOM, completion=READY), result()])
    assert found["state"] == "healthy" and found["causes"] == []
    assert found["lines"] == ["healthy: all 2 ranks run and the endpoint has answered a completion in 0.2 s"]


def test_a_healthy_deployment_is_told_what_could_be_better() -> None:
    slow = "NCCL INFO Failed to open libibverbs.so[.1]"
    found = diagnosis.diagnose(SIGNATURES, ["n1"], [result(slow, completion=READY)])
    assert found["state"] == "healthy" and [one["id"] for one in found["causes"]] == ["rdma-library-missing"]


def test_the_cause_comes_first_and_a_lost_node_is_named() -> None:
    results = [
        result(LOST, completion=NOT_READY),
        result(OOM, active="failed"),
        {"unreachable": True, "msg": "no route"},
    ]
    found = diagnosis.diagnose(SIGNATURES, ["n1", "n2", "n3"], results)
    assert found["state"] == "failing"
    assert found["lines"][0] == (
        "not healthy: rank 1 (n2): its unit is failed (exit-code, exit status 1); "
        "rank 2 (n3): the node does not answer: no route; the endpoint answers: Connection refused"
    )
    assert found["lines"][1] == "Likely cause: A GPU ran out of memory."
    assert found["causes"][0]["rank"] == 1
    assert [one["active"] for one in found["ranks"]] == [True, False, False]


def test_what_nobody_knows_is_shown_as_it_is() -> None:
    found = diagnosis.diagnose(SIGNATURES, ["n1"], [result("ValueError: the moon is full", completion=NOT_READY)])
    assert found["lines"][-1] == "   rank 0 (n1): ValueError: the moon is full"
    silent = diagnosis.diagnose(SIGNATURES, ["n1"], [result(completion=NOT_READY)])
    assert "no line of a log" in silent["lines"][-1]
    absent = {"rank_state": {"active": "inactive", "exists": False}}
    assert "rank 0 (n1): is not installed" in diagnosis.diagnose(SIGNATURES, ["n1"], [absent])["lines"][0]


@pytest.fixture
def node(tmp_path: Path) -> Host:
    root = unpack("a100-roce", tmp_path)
    journal = "commands/journalctl --unit=fullrank-rank@a.service --since=@1000 --lines=50 --output=short-unix --no-pager --quiet"
    write(root, journal, "1795377378.123456 n1 fullrank-rank@a[7]: hello")
    kernel = "commands/journalctl --dmesg --since=@0 --output=short-unix --no-pager --quiet"
    xid = "1795377370.000000 n1 kernel: NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus"
    write(root, kernel, f"1795377360.000000 n1 kernel: usb 1-1: new device\n{xid}")
    write(root, "commands/df -hT", "Filesystem Type Size\n/dev/sda1 ext4 1T")
    inspect = [
        {
            "Name": "/fullrank-rank-a",
            "State": {"ExitCode": 1},
            "Config": {"Env": ["HF_TOKEN=planted"], "Cmd": ["--api-key", "planted"], "Image": "vllm"},
        }
    ]
    write(root, "commands/docker inspect --type=container fullrank-rank-a", json.dumps(inspect))
    return Host(str(root))


def test_what_a_node_knows(node: Host) -> None:
    files = snapshot.collect(node, ["fullrank-rank@a.service"], 1000, 50, "")
    assert files["journal.log"] == "1795377378.123456 n1 fullrank-rank@a[7]: hello"
    assert "Xid" in files["kernel.log"] and "usb" not in files["kernel.log"]
    assert files["disk.txt"].startswith("$ df -hT\nFilesystem")
    assert "planted" not in files["containers-inspect.json"] and "ExitCode" in files["containers-inspect.json"]
    assert json.loads(files["rdma-facts.json"])
    assert json.loads(files["gpu-facts.json"])["kernel_module"]
    assert "versions.json" not in files


def test_files_are_bounded_and_keep_their_end() -> None:
    text = snapshot.bounded("a" * 100 + "end", 10)
    assert text.endswith("aaaaaaaend") and text.startswith("(the first 93 characters are left out)")
    assert snapshot.bounded("short", 10) == "short"


def test_the_nodes_own_secrets_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.secret.env").write_text("VLLM_API_KEY=one\n")
    (tmp_path / "a.secret.yaml").write_text('api-key: "two"\n')
    (tmp_path / "b.secret.env").write_text("VLLM_API_KEY=three\n")
    assert secrets_on_node("a", tmp_path) == ["one", "two"]


def test_the_bundle_is_one_file_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "work/a/n1").mkdir(parents=True)
    (tmp_path / "work/a/n1/journal.log").write_text("hello")
    bundle = Path(pack(tmp_path / "work", tmp_path / "out/fullrank-1.tar.gz", ["line"], {"a": {"state": "healthy"}}))
    assert bundle.stat().st_mode & 0o777 == 0o600
    with tarfile.open(bundle) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"report.txt", "report.json", "a/n1/journal.log"} <= names
