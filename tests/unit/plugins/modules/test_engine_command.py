# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugins around `launch.render`: documentation and option table agree, module and filter do the same."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.fullrank.serving.plugins.filter.engine_command import engine_command
from ansible_collections.fullrank.serving.plugins.modules import engine_command as modules_engine_command
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import OPTIONS, Request
from places import CHECKOUT

OPTIONS_OF_A_LAUNCH = {
    "engine": "sglang",
    "engine_version": "0.5.23",
    "model": "/srv/models/tiny",
    "served_model_name": "tiny",
    "api_key": "sk-0123456789",
    "engine_args": {"mem_fraction_static": "0.85"},
}


def explained(documented: dict[str, Any]) -> dict[str, Any]:
    """Documented options in the form of an argument specification."""
    table = {}
    for name, option in documented.items():
        table[name] = {k: option[k] for k in ("type", "required", "choices", "default", "elements") if k in option}
        if "suboptions" in option:
            table[name]["options"] = explained(option["suboptions"])
    return table


def test_documentation_and_option_table_agree() -> None:
    documented = yaml.safe_load(modules_engine_command.DOCUMENTATION)["options"]
    assert explained(documented) == {name: {k: v for k, v in o.items() if k != "no_log"} for name, o in OPTIONS.items()}


def test_option_table_and_request_agree() -> None:
    required = {"engine": "vllm", "engine_version": "0.11.2"}
    defaults = {name: option.get("default") for name, option in OPTIONS.items()}
    assert Request.from_options(defaults | required) == Request(**required)
    assert set(OPTIONS) == set(Request.__dataclass_fields__)


def test_the_result_is_documented() -> None:
    documented = yaml.safe_load(modules_engine_command.RETURN)["launch"]["contains"]
    assert set(documented) == set(engine_command(OPTIONS_OF_A_LAUNCH))


def test_the_filter_reports_every_mistake_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        engine_command(OPTIONS_OF_A_LAUNCH | {"model": "~/tiny", "engine_args": {"mem_fracton_static": 1, "foo": 2}})
    message = str(raised.value)
    assert "engine_model: " in message
    assert "engine_args.mem_fracton_static: " in message
    assert "--mem-fraction-static" in message
    assert "engine_args.foo: " in message


def test_the_filter_checks_types() -> None:
    with pytest.raises(AnsibleFilterError, match="nnodes"):
        engine_command(OPTIONS_OF_A_LAUNCH | {"nnodes": "many"})


def run_module(options: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """One task on a host that does not exist: the action must not need it."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    command = ["ansible", "all", "-i", "unreachable.invalid,", "-m", "fullrank.serving.engine_command", "-a"]
    done = subprocess.run(
        [*command, json.dumps(options), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout.partition(" => ")[2])


def test_the_module_needs_no_node_and_renders_what_the_filter_renders() -> None:
    result = run_module(OPTIONS_OF_A_LAUNCH, "--check")
    assert result["changed"] is False
    assert result["launch"] == engine_command(OPTIONS_OF_A_LAUNCH)
    assert OPTIONS_OF_A_LAUNCH["api_key"] not in json.dumps(result)


def test_the_module_fails_once_with_every_mistake() -> None:
    result = run_module(OPTIONS_OF_A_LAUNCH | {"rank": 3, "port": 0})
    assert "launch" not in result
    assert result["msg"].splitlines()[0] == "launch of sglang 0.5.23: 2 findings"
    assert {line.partition(":")[0] for line in result["msg"].splitlines()[1:]} == {"engine_rank", "engine_port"}
