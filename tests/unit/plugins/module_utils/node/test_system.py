# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files of a node tell about its system."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node import system
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import write


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    system.parse_memlock(text)
    system.parse_capabilities(text)


@pytest.mark.parametrize(("last", "on"), [("\x01", True), ("\x00", False), (None, False)])
def test_secure_boot_is_the_last_byte_of_its_variable(tmp_path: Path, last: str | None, on: bool) -> None:
    if last is not None:
        write(tmp_path, system.SECURE_BOOT.lstrip("/"), f"\x06\x00\x00\x00{last}")
    assert system.secure_boot(Host(str(tmp_path))) is on


# CAP_SYS_RESOURCE is bit 24; a container of docker has 0xa80425fb
@pytest.mark.parametrize(("capabilities", "may"), [("000001ffffffffff", True), ("00000000a80425fb", False)])
def test_who_may_lock_memory_whatever_the_limit(tmp_path: Path, capabilities: str, may: bool) -> None:
    write(tmp_path, "proc/1/status", f"CapEff:\t{capabilities}")
    assert system.may_lock_all(Host(str(tmp_path))) is may


def test_the_system_and_its_kernel(tmp_path: Path) -> None:
    assert system.os_release(Host(str(tmp_path))) == {}
    write(tmp_path, "etc/os-release", 'ID=ubuntu\nVERSION_ID="22.04"')
    write(tmp_path, "proc/sys/kernel/osrelease", "5.15.0-130-generic")
    assert system.os_release(Host(str(tmp_path))) == {"ID": "ubuntu", "VERSION_ID": "22.04"}
    assert system.running_kernel(Host(str(tmp_path))) == "5.15.0-130-generic"
