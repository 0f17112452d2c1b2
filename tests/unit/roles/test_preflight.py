# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight role takes what it needs from the deployment's variables."""

from __future__ import annotations

import re

import yaml
from ansible_collections.fullrank.serving.plugins.modules.preflight import OPTIONS
from entry_points import options
from places import CHECKOUT

ROLES = CHECKOUT / "roles"
FILES = ("defaults/main.yml", "vars/main.yml", "tasks/precheck.yml")
TEXT = "".join((ROLES / "preflight" / name).read_text() for name in FILES)


def test_every_variable_of_a_deployment_that_is_used_is_declared() -> None:
    declared = {*options("deployment"), "engine_venv", *("engine_args", "engine_env")}  # those of the role engine
    assert set(re.findall(r"\b(?<!serving\.)engine_\w+", TEXT)) <= declared


def test_every_variable_is_used_and_described() -> None:
    used = set(re.findall(r"\b(?<!_)preflight_[a-z_]+", TEXT + (ROLES / "preflight/tasks/report.yml").read_text()))
    assert used - {"preflight_report"} == set(options("preflight"))


def test_defaults_are_those_that_are_described() -> None:
    defaults = yaml.safe_load((ROLES / "preflight/defaults/main.yml").read_text())
    for name, option in options("preflight").items():
        if "default" in option:
            assert defaults[name] == option["default"], name


def test_every_option_of_the_module_is_given() -> None:
    """But for what the module finds by itself here, and what only tests need."""
    (task,) = [
        t for t in yaml.safe_load((ROLES / "preflight/tasks/precheck.yml").read_text()) if "preflight" in str(t)
    ][1:]
    passed = set(task["fullrank.serving.preflight"])
    assert set(OPTIONS) - passed == {"address", "own", "root"}
    paths = options("preflight")["preflight_paths"]["options"]
    assert {name: option.get("default") for name, option in paths.items()} == {
        name: option.get("default") for name, option in OPTIONS["paths"]["options"].items()
    }
