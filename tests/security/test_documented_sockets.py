# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of ports can be compared with what listens: the scenarios default, webui and monitoring do so on their nodes."""

from __future__ import annotations

import pytest
from documented_sockets import PAGE, rows, sockets, undocumented

RANK, SUPERVISOR = "fullrank-rank@tiny.service", "fullrank-supervisor@tiny.service"


def test_the_table_has_a_row_for_each_kind_of_unit() -> None:
    units = {name for row in rows(PAGE.read_text()) for name in row.units}
    assert {"fullrank-rank@*.service", "fullrank-supervisor@*.service", "fullrank-webui-tls.service"} <= units
    assert {"fullrank-webui.service", "fullrank-prometheus.service", "prometheus-node-exporter.service"} <= units


@pytest.mark.parametrize(
    "socket",
    [
        (RANK, "tcp", "0.0.0.0", 8000),
        (RANK, "tcp", "127.0.0.1", 8000),
        (RANK, "tcp", "0.0.0.0", 29500),
        (RANK, "tcp", "10.0.0.1", 41234),
        (SUPERVISOR, "udp", "10.0.0.1", 29600),
        (SUPERVISOR, "tcp", "0.0.0.0", 29600),
        ("fullrank-webui.service", "tcp", "127.0.0.1", 8080),
        ("fullrank-webui-tls.service", "tcp", "0.0.0.0", 443),
        ("fullrank-prometheus.service", "tcp", "127.0.0.1", 9090),
        ("prometheus-node-exporter.service", "tcp", "*", 9100),
        ("ssh.service", "tcp", "0.0.0.0", 22),  # not ours
    ],
)
def test_what_the_table_has(socket: tuple[str, str, str, int]) -> None:
    assert undocumented([socket]) == []


@pytest.mark.parametrize(
    "socket",
    [
        (SUPERVISOR, "udp", "0.0.0.0", 29600),
        (SUPERVISOR, "tcp", "0.0.0.0", 8123),
        ("fullrank-webui.service", "tcp", "0.0.0.0", 8080),
        ("fullrank-alertmanager.service", "tcp", "0.0.0.0", 9093),
        ("fullrank-alertmanager.service", "udp", "127.0.0.1", 9094),
        ("fullrank-new.service", "tcp", "127.0.0.1", 1),
        (RANK, "tcp", "0.0.0.0", 80),
        (RANK, "tcp", "127.0.0.1", 8001),
    ],
)
def test_what_the_table_lacks(socket: tuple[str, str, str, int]) -> None:
    assert undocumented([socket]) != []


def test_sockets_as_ss_lists_them() -> None:
    shown = """\
udp   UNCONN 0      0          10.0.0.11:29600      0.0.0.0:*    users:(("python3",pid=101,fd=5))
tcp   LISTEN 0      2048               *:9100             *:*    users:(("node_exporter",pid=7,fd=3))
tcp   LISTEN 0      128    127.0.0.1%lo:53          0.0.0.0:*
tcp   LISTEN 0      128             [::1]:631          [::]:*    users:(("a",pid=8,fd=1),("a",pid=9,fd=1))
"""
    assert sockets(shown) == [
        ("udp", "10.0.0.11", 29600, [101]),
        ("tcp", "*", 9100, [7]),
        ("tcp", "127.0.0.1", 53, []),
        ("tcp", "::1", 631, [8, 9]),
    ]
