# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removed: nothing runs or listens any more, and the chats are still there, until they are not wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

DATA = "/var/lib/fullrank-webui"
PLAY = "molecule/webui/remove.yml"


def test_removal_keeps_the_data(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    host = nodes["n2"]
    assert play(PLAY, "--check").changed > 0
    assert host.service("fullrank-webui.service").is_running
    assert play(PLAY).rc == 0
    assert not host.service("fullrank-webui.service").exists
    assert not host.service("fullrank-webui-tls.service").exists
    assert not host.check_output("ss -Hltn '( sport = :8080 or sport = :443 )'")
    assert not host.file("/etc/fullrank/webui.secret.env").exists
    assert not host.file("/opt/fullrank-webui").exists
    assert host.file(f"{DATA}/webui.db").exists and host.file("/etc/fullrank/webui.key").exists
    assert play(PLAY).changed == 0


def test_the_data_goes_when_asked(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    host = nodes["n2"]
    assert play(PLAY, webui_remove_data=True).rc == 0
    for path in (DATA, f"{DATA}.backups", "/etc/fullrank/webui.key"):
        assert not host.file(path).exists
    assert not host.user("fullrank-webui").exists
