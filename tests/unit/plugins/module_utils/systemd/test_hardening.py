# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that take from a unit what it does not need."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening


def test_nothing_is_left_to_a_unit_that_needs_nothing() -> None:
    found = hardening.lines(families=())
    assert {"CapabilityBoundingSet=", "PrivateNetwork=yes", "PrivateDevices=yes", "MemoryDenyWriteExecute=yes"} < set(
        found
    )
    assert "RestrictAddressFamilies=AF_UNIX" in found
    assert [one for one in found if one.startswith("SystemCallFilter=")] == [
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
    ]


@pytest.mark.parametrize(
    ("needs", "goes", "comes"),
    [
        (
            {"capabilities": ["CAP_KILL", "CAP_CHOWN"]},
            "CapabilityBoundingSet=",
            "CapabilityBoundingSet=CAP_KILL CAP_CHOWN",
        ),
        ({"families": ["AF_INET"]}, "PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX AF_INET"),
        ({"devices": True}, "ProtectClock=yes", ""),
        ({"devices": True}, "PrivateDevices=yes", ""),
        ({"generates_code": True}, "MemoryDenyWriteExecute=yes", ""),
        ({"sees_processes": True}, "ProtectProc=invisible", ""),
        ({"system_calls": hardening.SERVICE}, "SystemCallFilter=~@privileged", ""),
    ],
)
def test_what_is_needed_is_given_and_nothing_else(needs: dict[str, Any], goes: str, comes: str) -> None:
    before, after = hardening.lines(families=()), hardening.lines(**{"families": (), **needs})
    assert goes in before and goes not in after
    assert not comes or comes in after
    named = {one.partition("=")[0] for one in (goes, comes)}
    others = [
        one for one in before if one != goes and one.partition("=")[0] not in named | {"PrivateDevices", "ProtectClock"}
    ]
    assert set(others) <= set(after)
