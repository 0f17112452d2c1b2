# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape of a finding, and how lists of them read."""

from __future__ import annotations

import ast

from ansible_collections.fullrank.serving.plugins.module_utils.common import findings
from places import CHECKOUT

WRONG = findings.failed("mtu", "n1", "is 1500", "set 9000", bytes=1500)
ODD = findings.warned("kernel", "n1", "is old")


def test_every_finding_has_the_same_keys() -> None:
    made = [make("a", "b", "c") for make in (findings.passed, findings.warned, findings.failed, findings.skipped)]
    assert {tuple(one) for one in [*made, WRONG]} == {("severity", "code", "where", "message", "remedy", "data")}
    assert [one["severity"] for one in made] == ["pass", "warn", "fail", "skipped"]
    assert WRONG["data"] == {"bytes": 1500}
    assert {one["severity"] for one in made} <= set(findings.SEVERITIES)


def test_each_once() -> None:
    assert findings.unique([WRONG, ODD, dict(WRONG), findings.failed("mtu", "n1", "is 9001")]) == [
        WRONG,
        ODD,
        findings.failed("mtu", "n1", "is 9001"),
    ]


def test_alike_ones_of_several_hosts_are_one_and_failures_come_first() -> None:
    rows = [("n1", ODD), ("n1", WRONG), ("n2", {**WRONG, "data": {}}), ("n2", findings.passed("x", "y", "z"))]
    merged = findings.by_hosts(rows)
    assert [(one["code"], one["hosts"]) for one in merged] == [("mtu", ["n1", "n2"]), ("kernel", ["n1"])]
    assert set(merged[0]) == {*WRONG, "hosts"}


def test_lines_for_people() -> None:
    assert findings.lines([WRONG, WRONG, ODD], "fail") == ["n1: is 1500; set 9000"]
    assert findings.lines([WRONG, ODD], "warn") == ["n1: is old"]
    two = [WRONG, findings.failed("gpu", "n2", "is gone", "look")]
    assert findings.failures(two, "tiny") == "tiny: 2 findings\nn1: is 1500; set 9000\nn2: is gone; look"
    assert findings.failures([ODD]) == ""


def test_no_other_code_makes_one() -> None:
    """A dictionary with a remedy is made here; causes (of logs) are another thing, they have a source."""
    others = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "plugins").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict)
        and {"message", "remedy"} <= {key.value for key in node.keys if isinstance(key, ast.Constant)}
    }
    assert others == {"plugins/module_utils/common/findings.py"}
