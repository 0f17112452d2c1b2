# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a module that plans."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import plan_result
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failed, warned


class Ended(Exception):
    pass


class Module:
    """As much of AnsibleModule as is used."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.result: dict[str, Any] = {}

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def exit_json(self, **result: Any) -> None:
        self.result = result
        raise Ended

    def fail_json(self, **result: Any) -> None:
        self.exit_json(failed=True, **result)


def ended(judge: bool, *findings: dict[str, Any]) -> Module:
    module = Module()
    with pytest.raises(Ended):
        plan_result.end(module, {"findings": list(findings), "skip": ""}, judge)
    return module


WRONG, ODD = failed("a", "variable", "is wrong", "write another"), warned("b", "file", "is odd", "look at it")


def test_what_forbids_the_plan_fails_with_the_plan() -> None:
    result = ended(True, WRONG, ODD).result
    assert result["failed"] and result["skip"] == ""
    assert result["msg"] == "nothing was changed: 1 finding\nvariable: is wrong; write another"


def test_what_only_deserves_a_look_is_a_warning() -> None:
    module = ended(True, ODD)
    assert (module.result["changed"], module.warnings) == (False, ["file: is odd; look at it"])


def test_a_removal_is_not_judged() -> None:
    module = ended(False, WRONG, ODD)
    assert (module.result["changed"], module.warnings) == (False, [])
