# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a variable holds, wrong or in the wrong place: no answer of the first step shows the secret in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import PLAYBOOKS, checked_options
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import secret_values

UNIT = Path(__file__).resolve().parents[1] / "unit"
sys.path += [str(UNIT), str(UNIT / "plugins/action")]
from test_wrong_inventories import GROUP_VARS, Files

SECRET = "SEKRETsekret0123456789"
ANYWHERE: dict[str, Callable[[str], Any]] = {
    "user and password": lambda one: f"u:{one}@h:3128",
    "a slash": lambda one: f"http://u:a/{one}@h:3128",
    "an @": lambda one: f"https://u:a@{one}@h",
    "a space": lambda one: f"http://u:{one} x@h",
    "a # in the password": lambda one: f"https://u:a#{one}@h",
    "a query": lambda one: f"h?token={one}",
    "a good URL in the wrong place": lambda one: f"https://u:{one}@mirror.example/x",
    "an option": lambda one: f"--api-key {one}",
    "an assignment": lambda one: f"HF_TOKEN={one}",
    "assignments": lambda one: [f"HF_TOKEN={one}"],
    "two lines": lambda one: f"https://u:{one}@h\n",
    "below a name": lambda one: {"HF_TOKEN": [one]},
    "a line break in a token": lambda one: {"HF_TOKEN": f"{one}\n"},
    "name and value in one": lambda one: {f"HF_TOKEN={one}": ""},
    "a list of keys": lambda one: [{"name": "a", "key": one}],
    "without its dash": lambda one: {"url": "http://x/v1", "key": one},
    "deep": lambda one: {"a": [{"password": {"x": one}}]},
}
"""What people write where something else belongs; it shows a secret by its form or by a name."""
OF_SECRETS: dict[str, Callable[[str], Any]] = {
    "bare": lambda one: one,
    "a list": lambda one: [one],
    "a mapping": lambda one: {"a": one},
    "name and value swapped": lambda one: {one: {"name": "a"}},
    "a line break": lambda one: f"{one}\n",
    "a header": lambda one: f"Bearer {one}",
    "too long": lambda one: one * 40,
    "lists": lambda one: [[one]],
    "lists of anything": lambda one: [{"x": one}],
}
"""In a variable that is there for secrets, or for anything."""
GROUPS = {"webui": "webui", "monitoring": "monitoring", "router": "tiny"}


def _files(form: Callable[[str], Any], *, secrets_only: bool) -> Files:
    """An inventory in which all variables are wrong at once."""
    files = Files()
    for role, options in checked_options().items():
        group = "all" if role == PLAYBOOKS else GROUPS.get(role, "tiny")
        for name, option in options.items():
            needed = name in GROUP_VARS["tiny"] and name != "engine_api_key"
            whole = secret_values.secret_option(option) and name not in ("engine_args", "engine_env")
            of_secrets = secret_values.secret_name(name) or whole
            if not needed and (of_secrets or not secrets_only):
                files.variables[group][name] = form(SECRET)
    return files


@pytest.mark.parametrize("form", ANYWHERE.values(), ids=ANYWHERE)
def test_no_finding_shows_what_looks_like_a_secret(form: Callable[[str], Any], tmp_path: Path) -> None:
    found = _files(form, secrets_only=False).check(tmp_path)
    assert len(found["findings"]) > 50
    assert [one for one in found["findings"] if SECRET[:12] in json.dumps(one, default=str)] == []
    assert SECRET[:12] not in json.dumps(found, default=str)


@pytest.mark.parametrize("form", OF_SECRETS.values(), ids=OF_SECRETS)
def test_no_finding_shows_what_a_variable_for_secrets_holds(form: Callable[[str], Any], tmp_path: Path) -> None:
    found = _files(form, secrets_only=True).check(tmp_path)
    assert found["findings"]
    assert [one for one in found["findings"] if SECRET[:12] in json.dumps(one, default=str)] == []
    assert SECRET[:12] not in json.dumps(found, default=str)


ALONE: dict[str, dict[str, Any]] = {
    "router_keys as a list": {"set": {"router_keys": [{"name": "a", "key": SECRET}]}},
    "router_keys as a text": {"set": {"router_keys": SECRET}},
    "webui_backends without its dash": {
        "set": {"webui_backends": {"url": "http://x/v1", "key": SECRET}},
        "in": "webui",
    },
    "a token with a line break": {"set": {"engine_env": {"HF_TOKEN": f"{SECRET}\n"}}},
    "engine_args as a text": {"set": {"engine_args": f"--api-key {SECRET}"}},
    "an option with its value": {"set": {"engine_args": {f"--api-key={SECRET}": True}}},
    "a misspelt variable": {"set": {"engine_api_keyy": SECRET}},
    "a mirror with @ in its password": {"set": {"mirrors": {"docker": f"https://u:a@{SECRET}@h"}}, "in": "all"},
    "an address with a password": {"set": {"ansible_host": f"u:{SECRET}@h"}},
    "container words": {
        "set": {
            "engine_runtime": "docker",
            "engine_image": "a/b:1",
            "engine_container_args": ["-e", f"HF_TOKEN={SECRET}", "-x"],
        }
    },
    "an expression": {"set": {"engine_api_key": f"{{{{ '{SECRET}' | no_such_filter }}}}"}},
}


@pytest.mark.parametrize("case", ALONE.values(), ids=ALONE)
def test_no_finding_shows_it_where_nothing_else_is_wrong(case: dict[str, Any], tmp_path: Path) -> None:
    files = Files()
    files.change(case)
    assert SECRET[:12] not in json.dumps(files.check(tmp_path), default=str)
