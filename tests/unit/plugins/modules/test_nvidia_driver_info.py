# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module nvidia_driver_info over the facts of built nodes: what is missing, and what prevents it."""

from __future__ import annotations

from typing import Any

import nvidia_nodes
import pytest
from ansible_collections.fullrank.serving.plugins.modules import nvidia_driver_info
from module_runner import call

WISH = {"source": "repository", "version": "580.95.05"}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    facts = nvidia_nodes.facts()
    monkeypatch.setattr(nvidia_driver_info.facts, "collect", lambda *_: facts)
    return facts


@pytest.mark.usefixtures("node")
def test_packages_services_and_repository_of_a_node_with_nvswitches() -> None:
    result = call(nvidia_driver_info, **WISH)
    assert (result["changed"], result["skip"], result["fabric"]) == (False, "", "nvswitch")
    names = [name for one in result["packages"] for name in one["names"]]
    assert any("fabricmanager" in name for name in names)
    assert result["repository"]["url"].startswith("https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404")
    assert call(nvidia_driver_info, check_mode=True, **WISH) == result


def test_a_node_without_gpus_is_skipped(node: dict[str, Any]) -> None:
    node["gpus"] = {}
    result = call(nvidia_driver_info, **WISH)
    assert "failed" not in result and result["skip"] == "there is no NVIDIA GPU on the PCI bus"


@pytest.mark.parametrize("judge", [True, False])
def test_what_prevents_the_driver_fails_unless_it_is_for_a_removal(node: dict[str, Any], judge: bool) -> None:
    node["secure_boot"] = True
    result = call(nvidia_driver_info, judge=judge, **WISH)
    assert result.get("failed", False) is judge
    assert any("Secure Boot" in one["message"] for one in result["findings"])
    assert ("nothing was changed" in result.get("msg", "")) is judge


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"source": "snap", "version": "1"}, "must be one of"),
        ({"source": "runfile"}, "missing required arguments: version"),
    ],
)
def test_wrong_arguments_are_refused(args: dict[str, Any], message: str) -> None:
    assert message in call(nvidia_driver_info, **args)["msg"]
