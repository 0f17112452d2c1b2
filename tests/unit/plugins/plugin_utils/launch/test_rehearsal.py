# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine would refuse is known before any node is asked."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import options
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rehearsal

VLLM = {
    "engine_name": "vllm",
    "engine_version": "0.32.0",
    "engine_model": "/data/tiny",
    "engine_served_model_name": "tiny",
    "engine_venv": "/opt/vllm",
    "engine_tensor_parallel_size": 16,
}


def refused(nnodes: int = 2, **changes: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    values = {**VLLM, **changes}
    found = rehearsal.refused("tiny", nnodes, values, read_catalog(values["engine_name"]))
    return [(one.finding["code"], one.variable, one.steps) for one in found]


def test_every_variable_of_a_launch_is_one_of_the_inventory() -> None:
    declared = {name for role in ("deployment", "engine") for name in options()[role]}
    assert set(rehearsal.VARIABLES) <= declared


@pytest.mark.parametrize("nnodes", [1, 2, 4])
@pytest.mark.parametrize(("engine", "version"), [("vllm", "0.32.0"), ("sglang", "0.5.23"), ("lmdeploy", "0.12.0")])
def test_a_launch_that_can_be_has_no_finding(engine: str, version: str, nnodes: int) -> None:
    executor = "ray" if engine == "lmdeploy" and nnodes > 1 else "native"
    assert refused(nnodes, engine_name=engine, engine_version=version, engine_executor=executor) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"engine_args": {"max_model_lenn": 1}}, ("option-unknown", "engine_args", ("max_model_lenn",))),
        ({"engine_tensor_parallel_size": 3}, ("sizes-against-nodes", "engine_tensor_parallel_size", ())),
        ({"engine_tensor_parallel_size": "3"}, ("sizes-against-nodes", "engine_tensor_parallel_size", ())),
        ({"engine_env": {"A-B": "x"}}, ("env-name", "engine_env", ("A-B",))),
        ({"engine_version": "99.0.0"}, ("engine-version-newer", "engine_version", ())),
        ({"engine_version": "0.0.1"}, ("engine-version-too-old", "engine_version", ())),
    ],
)
def test_what_cannot_be_is_reported_with_the_variable(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert refused(**changes) == [expected]


def test_an_option_of_the_other_ranks_is_reported_once() -> None:
    assert refused(4, engine_args={"no_such_option": 1}) == [("option-unknown", "engine_args", ("no_such_option",))]


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("engine_max_model_len", True),
        ("engine_rack", True),
        ("max_model_len", True),
        ("seed", False),
        ("ansible_host", False),
        ("inventory_file", False),
    ],
)
def test_a_name_that_no_option_could_have_is_known_by_itself(name: str, has: bool) -> None:
    """The values of a launch cost time; most variables of a host are Ansible's own."""
    assert rehearsal.has_name(name, VLLM["engine_version"], read_catalog("vllm")) is has
    if not has:
        assert rehearsal.belongs(name, 1, "tiny", VLLM, read_catalog("vllm")) == ""
