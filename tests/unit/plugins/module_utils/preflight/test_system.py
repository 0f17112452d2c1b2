# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of disks and shared memory: what is no fault."""

from __future__ import annotations

from pathlib import Path

import preflight_node as node
import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import system
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from hypothesis import given, settings
from hypothesis import strategies as st
from preflight_node import GIB


def test_shm_that_our_own_engine_holds_is_no_fault(root: Path) -> None:
    node.space(root, data=800 * GIB, shm=GIB)
    recorded.command(root, "systemctl is-active " + " ".join(names.of_rank("r1")), "active\n")
    assert node.trouble(node.ask(root)) == []
    assert node.trouble(node.ask(root, shm_bytes=600 * GIB)) != []


@pytest.mark.parametrize(
    ("present", "copies", "status", "part"),
    [
        (700 * GIB, 1, "pass", "nothing to be written: weights"),
        (670 * GIB, 2, "pass", "nothing to be written: weights"),  # people round sizes up
        (650 * GIB, 1, "pass", "800 GiB free, 50 GiB needed"),
        (0, 1, "pass", "800 GiB free, 700 GiB needed"),
        (500 * GIB, 2, "fail", "800 GiB free, 900 GiB needed"),
    ],
)
def test_weights_that_are_there_need_no_space(present: int, copies: int, status: str, part: str, root: Path) -> None:
    weights = {"path": "/data/models", "bytes": 700 * GIB, "purpose": "weights", "copies": copies, "reuse": True}
    du = "du --dereference --apparent-size --block-size=1 --summarize"
    recorded.command(root, f"{du} /data/models", f"{present}\t/data/models\n")
    recorded.command(root, f"{node.DF} /data/models", f"head\n/data xfs {2048 * GIB} {800 * GIB}\n")
    (space,) = [
        check for check in node.ask(root, paths=[weights], shm_bytes=0)["checks"] if check["code"] == "disk-space"
    ]
    assert (space["severity"], part in space["message"]) == (status, True)


def test_a_verified_copy_needs_no_space_whatever_size_is_configured(root: Path) -> None:
    recorded.write(root, "data/models/.fullrank/READY", "the sha256 of a manifest")
    weights = {"path": "/data/models", "bytes": 9000 * GIB, "purpose": "weights", "copies": 2, "reuse": True}
    (space,) = [
        check for check in node.ask(root, paths=[weights], shm_bytes=0)["checks"] if check["code"] == "disk-space"
    ]
    assert (space["severity"], space["message"]) == ("pass", "nothing to be written: weights")


@settings(max_examples=60, deadline=None)
@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_any_text_is_survived(text: str, paths: list[str]) -> None:
    system.parse_df(text, paths)
