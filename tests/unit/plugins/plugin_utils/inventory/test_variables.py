# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of one host against what the roles declare."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import variables
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.variables import Host

SPEC = {
    "x_port": {"type": "int", "default": 8000},
    "x_name": {"type": "str", "required": True},
    "x_key": {"type": "str", "no_log": True},
}
RULES = {"x_port": "1..65535", "x_name": "host"}


def check(host: Host) -> variables.Checked:
    return variables.check(host, "tiny", SPEC, RULES, frozenset())


def test_defaults_count_where_nothing_is_set() -> None:
    found = check(Host("n1", {"x_name": "a"}))
    assert (found.values, found.wrong, found.findings) == ({"x_port": 8000, "x_name": "a"}, frozenset(), [])


def test_what_is_wrong_is_no_value_for_later_checks() -> None:
    found = check(Host("n1", {"x_name": "a", "x_port": 0}))
    assert "x_port" not in found.values and found.wrong == {"x_port"}
    (one,) = found.findings
    assert one["data"] == {"variable": "x_port", "steps": [], "host": "n1", "instead": [1]}


def test_what_only_the_node_can_tell_is_neither_wrong_nor_the_default() -> None:
    found = check(Host("n1", {"x_name": "a"}, unknown=frozenset({"x_port"})))
    assert (found.values, found.findings) == ({"x_name": "a"}, [])


def test_an_expression_without_a_value_and_a_variable_that_is_missing() -> None:
    found = check(Host("n1", {}, unread={"x_port": ("a is not set", "set a")}))
    assert [(one["code"], one["where"]) for one in found.findings] == [
        ("variable-not-readable", "x_port of tiny"),
        ("variable-missing", "x_name of tiny"),
    ]


def test_the_place_stands_in_the_line_where_it_is_known() -> None:
    found = check(Host("n1", {"x_name": "a b"}, place=lambda name, _steps: f"group_vars/{name}.yml:3"))
    assert found.findings[0]["where"] == "x_name (group_vars/x_name.yml:3)"
