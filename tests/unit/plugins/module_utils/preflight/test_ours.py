# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether we may work on the node, and what an earlier inventory left on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import ours


@pytest.mark.parametrize(
    ("uids", "severity"), [("0\t0\t0\t0", "pass"), ("1000\t0\t0\t0", "pass"), ("0\t1000\t0\t0", "fail")]
)
def test_a_user_other_than_root_must_become(tmp_path: Path, uids: str, severity: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(f"Name:\tpython3\nUid:\t{uids}\n")
    (found,) = ours.check_root(Host(str(tmp_path)), {})
    assert found["severity"] == severity and (severity == "pass" or "set ansible_become" in found["remedy"])


def test_the_rank_of_a_renamed_deployment_is_reported_with_its_removal(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in ("solo", "chat"):
        (units / f"fullrank-rank@{name}.service").write_text("[Unit]\n")
    host = Host(str(tmp_path))
    (found,) = ours.check_leftovers(host, {"expected": ["chat"]})
    assert (found["severity"], found["data"]) == ("warn", {"deployment": "solo"})
    assert "remove.yml -e deployment=solo" in found["remedy"]
    assert [one["severity"] for one in ours.check_leftovers(host, {"expected": ["chat", "solo"]})] == ["pass"]
    assert ours.check_leftovers(host, {"expected": None}) == []
