# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module preflight over recorded nodes. Its checks are tested in module_utils/preflight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import preflight_node as node
import pytest
import recorded
import yaml
from ansible_collections.fullrank.serving.plugins.modules import preflight
from module_runner import call, run_module


@pytest.mark.parametrize("check_mode", [False, True])
def test_answers_of_a_recorded_node(tmp_path: Path, check_mode: bool) -> None:
    result = call(preflight, root=str(recorded.unpack("a100-roce", tmp_path)), gpu_count=8, check_mode=check_mode)
    assert result["changed"] is False and "failed" not in result
    assert {one["severity"] for one in result["checks"]} <= {"pass", "warn", "fail", "skipped"}
    assert all(one["remedy"] for one in result["checks"] if one["severity"] == "fail")


def test_a_finding_does_not_fail_the_task(tmp_path: Path) -> None:
    result = call(preflight, root=str(tmp_path), gpu_count=8)
    assert "failed" not in result and any(one["severity"] == "fail" for one in result["checks"])


def test_nothing_is_written(tmp_path: Path) -> None:
    call(preflight, root=str(tmp_path), paths=[{"path": "/data/x", "bytes": 1, "purpose": "weights"}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"peers": [{"name": "n2"}]}, "missing required arguments: address"),
        ({"ports": [{"port": "http", "purpose": "x"}]}, "cannot be converted to an int"),
        ({"runtime": "lxc"}, "value of runtime must be one of"),
    ],
)
def test_wrong_arguments_are_refused(args: dict[str, object], message: str) -> None:
    assert message in call(preflight, **args)["msg"]


def test_the_module_answers_over_a_recorded_node(tmp_path: Path) -> None:
    root = node.lay_out(tmp_path)
    done = run_module("preflight", {"root": str(root), "address": node.ADDRESS, "_ansible_check_mode": True})
    assert done["changed"] is False
    assert set(done) >= {"checks", "node"}


def test_options_are_documented_as_they_are() -> None:
    def same(options: dict[str, Any], documented: dict[str, Any]) -> None:
        assert set(options) == set(documented)
        for name, option in options.items():
            for key in ("type", "elements", "default", "choices", "required"):
                assert option.get(key) == documented[name].get(key), (name, key)
            same(option.get("options", {}), documented[name].get("suboptions", {}))

    same(node.OPTIONS, yaml.safe_load(preflight.DOCUMENTATION)["options"])
