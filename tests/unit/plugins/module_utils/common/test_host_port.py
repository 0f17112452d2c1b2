# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 has brackets before a port, wherever the two are joined."""

from __future__ import annotations

import ast
import re
from urllib.parse import urlsplit

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import (
    bracketed,
    host_port,
    on_this_machine,
)
from hypothesis import given
from hypothesis import strategies as st
from places import CHECKOUT


@given(st.ip_addresses(), st.integers(1, 65535))
def test_what_is_joined_is_read_as_host_and_port(address: object, port: int) -> None:
    parts = urlsplit(f"http://{host_port(str(address), port)}/x")
    assert (parts.hostname, parts.port) == (str(address), port)


def test_names_have_no_brackets() -> None:
    assert (host_port("n1.example", "8000"), bracketed("n1")) == ("n1.example:8000", "n1")


@pytest.mark.parametrize(
    ("listens", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("", "127.0.0.1"), ("fd00::1", "fd00::1")]
)
def test_what_stands_for_all_addresses_is_reached_on_loopback(listens: str, reached: str) -> None:
    assert on_this_machine(listens) == reached


OTHERS = {
    "plugins/module_utils/comm_check/launch.py": "host:slots of Open MPI",
    "plugins/module_utils/common/host_port.py": "this is it",
    "plugins/module_utils/weights/transfer/rsync.py": "host:path of rsync",
}
"""Files in which a host and a colon meet, and why."""
_HOST = re.compile(r"host|addr|machine|reached|head$")


def joins(source: str) -> bool:
    """Whether a text is made of a host, a colon, and something else."""
    for node in ast.walk(ast.parse(source)):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for before, between, after in zip(parts, parts[1:], parts[2:], strict=False):
            joined = isinstance(before, ast.FormattedValue) and isinstance(after, ast.FormattedValue)
            if joined and isinstance(between, ast.Constant) and between.value in (":", "]:"):
                words = ast.unparse(before.value)
                if _HOST.search(words) and re.search("port|path|processes", ast.unparse(after.value)):
                    return True
    return False


def test_they_are_joined_in_one_place() -> None:
    found = {path for path in (CHECKOUT / "plugins").rglob("*.py") if joins(path.read_text())}
    assert {path.relative_to(CHECKOUT).as_posix() for path in found} == set(OTHERS)


def test_roles_and_playbooks_join_by_the_filter() -> None:
    by_hand = re.compile(r"(host|address)\w*( }})?( ~ ')?:('? ?~ ?|{{ )\w*port|'\['")
    files = [path for folder in ("roles", "playbooks") for path in (CHECKOUT / folder).rglob("*") if path.is_file()]
    texts = {path: path.read_text() for path in files if path.suffix in (".yml", ".j2")}
    assert [path for path, text in texts.items() if by_hand.search(text)] == []
