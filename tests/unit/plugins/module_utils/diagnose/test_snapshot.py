# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is gathered on a node, from a recorded one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.diagnose import snapshot
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from recorded import unpack, write


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
