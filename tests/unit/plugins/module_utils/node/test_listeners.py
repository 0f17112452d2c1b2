# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read off a node: listeners, routes, the running launch. Recordings are from Debian 13 nodes of the test ground."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state
from hypothesis import given, settings
from hypothesis import strategies as st
from preflight_node import CONTAINER

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0000000000000000 100 0 0 10 0
   1: 0B004D0A:733C 0C004D0A:C35A 01 00000000:00000000 00:00000000 00000000     0        0 1002 1 0000000000000000 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000000000000000000000000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1003 1 0 100 0 0 10 0
"""  # noqa: E501


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """sshd on 22 (IPv4) and an engine on 8000 (IPv6), whose connection from port 29500 is no listener."""
    proc = tmp_path / "proc"
    (proc / "net").mkdir(parents=True)
    (proc / "net/tcp").write_text(TCP)
    (proc / "net/tcp6").write_text(TCP6)
    for pid, inode, command, unit in (
        (100, 1001, "sshd\n", "ssh.service"),
        (200, 1003, "vllm\n", "fullrank-rank@tiny.service"),
    ):
        (proc / f"{pid}/fd").mkdir(parents=True)
        (proc / f"{pid}/fd/0").symlink_to("/dev/null")
        (proc / f"{pid}/fd/3").symlink_to(f"socket:[{inode}]")
        (proc / f"{pid}/comm").write_text(command)
        (proc / f"{pid}/cgroup").write_text(f"0::/system.slice/{unit}\n")
        (proc / f"{pid}/environ").write_bytes(b"PATH=/bin\0FULLRANK_SPEC_HASH=abc\0")
    return tmp_path


def test_listeners_are_found_with_their_owners(node: Path) -> None:
    assert listeners.holders(Host(str(node)), [22, 8000, 29500]) == [
        {"port": 22, "pid": 100, "command": "sshd", "unit": "ssh.service"},
        {"port": 8000, "pid": 200, "command": "vllm", "unit": "fullrank-rank@tiny.service"},
    ]


def test_a_listener_whose_owner_is_hidden_is_still_one(node: Path) -> None:
    (node / "proc/200/fd/3").unlink()
    assert listeners.holders(Host(str(node)), [8000]) == [{"port": 8000, "pid": 0, "command": "", "unit": ""}]


def test_the_launch_that_a_process_was_started_with(node: Path) -> None:
    assert state.running_spec_hash(200, node / "proc") == "abc"
    assert state.running_spec_hash(999, node / "proc") == ""


def test_a_timestamp_of_systemctl() -> None:
    assert state.seconds_since_epoch("@1795377378") == 1795377378
    assert state.seconds_since_epoch("") == 0


@pytest.mark.parametrize(
    ("line", "address", "port"),
    [
        ("0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 11", "127.0.0.1", 8080),
        ("0: 00000000:733C 00000000:0000 0A 0:0 0:0 0 0 0 11", "*", 29500),
        ("0: 00000000000000000000000000000000:0016 0:0 0A 0:0 0:0 0 0 0 11", "*", 22),
        ("0: 0000000000000000FFFF00000100007F:0016 0:0 0A 0:0 0:0 0 0 0 11", "127.0.0.1", 22),
        (
            "0: 000080FE00000000FF565002BD69B1FE:0016 0:0 0A 0:0 0:0 0 0 0 11",
            "fe80:0000:0000:0000:0250:56ff:feb1:69bd",
            22,
        ),
    ],
)
def test_listeners(line: str, address: str, port: int) -> None:
    assert listeners.parse_listeners(f"title\n{line}\n") == [listeners.Listener(address, port, "11")]


def test_established_connections_do_not_listen() -> None:
    assert listeners.parse_listeners("0: 0100007F:1F90 0100007F:A2B4 01 0:0 0:0 0 0 0 11") == []


@pytest.mark.parametrize(
    ("text", "unit", "container"),
    [
        ("0::/user.slice/user@1000.service/app.slice/run-7.scope", "run-7.scope", None),
        ("0::/system.slice/fullrank-rank@r1.service", "fullrank-rank@r1.service", None),
        (
            f"0::/system.slice/docker-{CONTAINER}.scope",
            f"docker-{CONTAINER}.scope",
            CONTAINER,
        ),
        (
            f"0::/machine.slice/libpod-{CONTAINER}.scope/container",
            f"libpod-{CONTAINER}.scope",
            CONTAINER,
        ),
        (f"4:memory:/x\n1:name=systemd:/docker/{CONTAINER}", None, CONTAINER),
        # a node of the test ground on a machine with both versions of cgroups
        ("9:name=systemd:/\n8:pids:/\n0::/system.slice/fullrank-rank@tiny.service", "fullrank-rank@tiny.service", None),
        ("0::/", None, None),
        ("", None, None),
    ],
)
def test_unit_and_container_of_a_process(text: str, unit: str | None, container: str | None) -> None:
    assert listeners.parse_cgroup(text) == (unit, container)


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    listeners.parse_listeners(text)
    listeners.parse_cgroup(text)
