# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that no role reads although they look as if one did."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.unread import unread

ROLES = {"engine": ["engine_port"], "deployment": ["engine_data_parallel_size"], "docker": ["docker_version"]}


def test_a_name_with_the_prefix_of_a_role_is_a_warning_unless_something_is_made_of_it() -> None:
    names = ["engine_port", "engine_parallel_size", "engine_part", "engine_status", "docker_edition", "colour"]
    found = unread(names, ROLES, "{} (a.yml)".format, lambda name: name == "engine_part")
    assert [(one["severity"], one["where"]) for one in found] == [("warn", "engine_parallel_size (a.yml)")]
    assert found[0]["remedy"].startswith("did you mean engine_data_parallel_size?")


def test_a_name_without_a_prefix_is_one_where_the_engine_has_such_an_option() -> None:
    found = unread(["max_model_len", "colour"], ROLES, str, lambda _name: False, {"max_model_len": "write it"}.get)
    assert [(one["where"], one["remedy"]) for one in found] == [("max_model_len", "write it")]
