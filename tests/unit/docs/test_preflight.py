# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/preflight.md lists every check there is, with the answers that it can give."""

from __future__ import annotations

import re
from pathlib import Path

import preflight_node as node
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.preflight import EQUAL, report
from places import CHECKOUT
from preflight_faults import FAULTS

PAGE = CHECKOUT / "docs/preflight.md"
COLLECTION = PAGE.parents[1]
OF_THE_CONTROLLER = {
    "node-answers": {"fail"},
    "clock-skew": {"fail"},
    "clock-equal": {"fail"},
    "version-equal": {"fail"},
}


def documented() -> dict[str, set[str]]:
    """Check → its bad answers, out of the tables."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]*) \|", PAGE.read_text(), re.MULTILINE)
    return {id: set(answers.replace(",", " ").split()) for id, answers in rows}


def test_every_check_of_a_good_node_is_on_the_page(tmp_path: Path) -> None:
    answers = {name: node.run.run(Host(str(node.lay_out(tmp_path / name))), node.wanted()) for name in "ab"}
    shown = {check["code"] for check in report({**answers, "c": None})["checks"]}
    assert shown <= set(documented())


def test_every_bad_answer_is_on_the_page(tmp_path: Path) -> None:
    """All that is planted in the tests of the checks, and the comparisons."""
    bad = {rule.code: {rule.severity} for rule in EQUAL} | OF_THE_CONTROLLER
    for id, status, _, _ in FAULTS.values():
        bad.setdefault(id, set()).add(status)
    page = documented()
    assert {id: answers for id, answers in bad.items() if not answers <= page.get(id, set())} == {}


def test_the_page_names_no_check_that_is_gone() -> None:
    code = "".join(
        path.read_text()
        for path in (
            *COLLECTION.glob("plugins/module_utils/*/*.py"),
            *COLLECTION.glob("plugins/plugin_utils/report/*.py"),
        )
    )
    assert [id for id in documented() if f'"{id}"' not in code] == []


def test_the_page_names_variables_that_there_are() -> None:
    specification = (COLLECTION / "roles/preflight/meta/argument_specs.yml").read_text()
    for name in re.findall(r"`(preflight_\w+)`", PAGE.read_text()):
        assert f"      {name}:" in specification, name
