# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the addresses of a preflight are found: by network, by name, by route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preflight_node as node
import pytest
import recorded
from preflight_node import ADDRESS, PEER


@pytest.mark.parametrize(
    "changes",
    [{"network": "200.0.209.0/24"}, {"peers": [{"name": "node2", "address": "node2.example", "ports": [22]}]}, {}],
    ids=["by network", "by name", "by route"],
)
def test_addresses_that_are_not_given_are_found(changes: dict[str, Any], root: Path) -> None:
    recorded.command(root, f"ip -json route get {PEER}", json.dumps([{"dev": "bond0", "prefsrc": ADDRESS}]))
    recorded.command(root, "getent ahosts node2.example", f"{PEER} STREAM node2.example\n{PEER} DGRAM\n")
    answer = node.ask(root, address=None, **changes)
    assert node.trouble(answer) == []
    assert any(check["code"] == "interface" and ADDRESS in check["message"] for check in answer["checks"])


def test_addresses_that_cannot_be_understood_do_not_stop_the_checks(root: Path) -> None:
    recorded.command(root, f"ip -json route get {PEER}", 'Object "-json" is unknown')
    answer = node.ask(root, address=None)
    assert [check["code"] for check in node.trouble(answer) if "the check itself failed" in check["message"]] == [
        "interface"
    ]
