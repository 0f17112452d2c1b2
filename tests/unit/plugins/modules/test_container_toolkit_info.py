# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module container_toolkit_info over the facts of a built node: what is missing, and what prevents it."""

from __future__ import annotations

from typing import Any

import pytest
import toolkit_nodes
from ansible_collections.fullrank.serving.plugins.modules import container_toolkit_info
from module_runner import call

WISH = {"version": "1.18", "repository": "https://nvidia.github.io/libnvidia-container"}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    facts = toolkit_nodes.facts()
    monkeypatch.setattr(container_toolkit_info.container_toolkit, "collect", lambda *_: facts)
    return facts


@pytest.mark.usefixtures("node")
def test_a_node_that_is_as_wanted() -> None:
    result = call(container_toolkit_info, **WISH)
    assert (result["changed"], result["skip"], result["spec_stale"]) == (False, "", False)
    assert result["driver_version"] == "580.95.05" and result["units_enabled"] is True
    assert {one["version"] for one in result["packages"]} <= {"1.18", "same"}
    assert call(container_toolkit_info, check_mode=True, **WISH) == result


def test_a_specification_of_another_driver_is_stale(node: dict[str, Any]) -> None:
    node["spec"] = "libcuda.so.570.86.15"
    assert call(container_toolkit_info, **WISH)["spec_stale"] is True


def test_a_node_without_a_driver_is_skipped(node: dict[str, Any]) -> None:
    node["driver_found"] = False
    assert call(container_toolkit_info, **WISH)["skip"] == "there is no driver (nvidia-smi) on this node"


@pytest.mark.parametrize("judge", [True, False])
def test_a_docker_without_cdi_fails_unless_it_is_for_a_removal(node: dict[str, Any], judge: bool) -> None:
    node["runtimes"]["docker"]["version"] = "20.10.24"
    result = call(container_toolkit_info, judge=judge, **WISH)
    assert result.get("failed", False) is judge and result["findings"]


def test_version_and_repository_are_required() -> None:
    assert "missing required arguments: repository, version" in call(container_toolkit_info)["msg"]
