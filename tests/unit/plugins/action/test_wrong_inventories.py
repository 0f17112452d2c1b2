# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong inventories: each is refused by the first step, in one line that helps, and what the line offers is accepted.

wrong_inventories.yml is the table. Each inventory is written as files and read by Ansible's own inventory manager.
"""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import line
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.check import shown
from inventory_vars import first_step

TABLE = yaml.safe_load((Path(__file__).parent / "wrong_inventories.yml").read_text())
LONGEST_LINE = 200

HOSTS: dict[str, Any] = {
    "gpu_nodes": {"hosts": {f"n{number}": {"ansible_host": f"192.0.2.1{number}"} for number in range(1, 5)}},
    "deployments": {"children": {"tiny": {"hosts": {f"n{number}": None for number in range(1, 5)}}}},
    "router": {"hosts": {"r1": {"ansible_host": "192.0.2.21"}}},
    "webui": {"hosts": {"w1": {"ansible_host": "192.0.2.22"}}},
    "monitoring": {"hosts": {"m1": {"ansible_host": "192.0.2.23"}}},
}
GROUP_VARS: dict[str, dict[str, Any]] = {
    "all": {
        "nodes_roles": ["host_tuning", "nvidia_driver", "rdma", "docker", "nvidia_container_toolkit"],
        "nvidia_driver_version": "580",
        "nvidia_container_toolkit_version": "1.18.1",
    },
    "tiny": {
        "engine_name": "vllm",
        "engine_version": "0.32.0",
        "engine_model": "/data/tiny",
        "engine_tensor_parallel_size": 32,
        "engine_gpus_per_node": 8,
        "engine_api_key": "sk-0123456789",
    },
    "webui": {"webui_admin_email": "admin@example.com", "webui_admin_password": "long-enough"},
    "monitoring": {},
    "router": {},
}


class Files:
    """An inventory that is not yet written."""

    def __init__(self) -> None:
        self.groups = copy.deepcopy(HOSTS)
        self.variables = copy.deepcopy(GROUP_VARS)
        self.host_vars: dict[str, dict[str, Any]] = {}
        self.deployment = "tiny"

    def change(self, case: dict[str, Any], before: str = "") -> None:
        """The changes that a row of the table describes; before: of their names, ``fix_`` for the remedies."""
        own = self.variables[case.get("in", "tiny") if case.get("in") != "hosts" else "tiny"]
        for name, value in case.get(f"{before}set", {}).items():
            if value is None and "null_is" not in case:
                own.pop(name, None)
            else:
                own[name] = value
        self.host_vars.update(copy.deepcopy(case.get(f"{before}host_vars", {})))
        for name, group in case.get(f"{before}groups", {}).items():
            if name == "deployments":
                extra = group["children"] if group else {}
                self.groups[name]["children"] = {"tiny": HOSTS[name]["children"]["tiny"], **extra}
            elif group is None:
                self.groups.pop(name, None)
            else:
                self.groups[name] = group
        if f"{before}hosts" in case:
            self._tiny()["hosts"] = {**HOSTS["deployments"]["children"]["tiny"]["hosts"], **case[f"{before}hosts"]}
        if f"{before}rename" in case:
            new = case[f"{before}rename"].replace("TOO_LONG", "x" * 201)
            if new != "tiny":
                self.variables.pop(new, None)
            self.groups["deployments"]["children"] = {new: self._tiny()}
            self.deployment = new

    def _tiny(self) -> dict[str, Any]:
        found: dict[str, Any] = self.groups["deployments"]["children"][self.deployment]
        return found

    def set(self, variable: str, steps: list[Any], value: Any) -> None:
        """Another value at a place inside a variable, wherever it is set."""
        holders = [*self.variables.values(), *self.host_vars.values()]
        holder = next((one for one in holders if variable in one), self.variables["tiny"])
        place: Any = holder
        for step in [variable, *steps][:-1]:
            place = place[step]
        place[[variable, *steps][-1]] = value

    def check(self, folder: Path) -> dict[str, Any]:
        """The first step over it."""
        files = {"hosts.yml": {"all": {"children": self.groups}}}
        names = {"tiny": self.deployment}
        # a name that is no name of a file is one of a folder neither: its variables stand with the group
        for group, own in self.variables.items():
            files[f"group_vars/{names.get(group, group)}.yml"] = own
        for host, own in self.host_vars.items():
            files[f"host_vars/{host}.yml"] = own
        return first_step(
            folder, {path: yaml.safe_dump(content, allow_unicode=True) for path, content in files.items()}
        )


def value_at(case: dict[str, Any]) -> Any:
    """What stands at the place that the finding must name."""
    if "set" not in case and "host_vars" not in case:
        return case["at"].partition(" ")[2]
    (own,) = case["host_vars"].values() if "host_vars" in case else (case["set"],)
    place: Any = own
    for step in case["at"].replace("]", "").replace("[", ".").split("."):
        place = place[int(step) if step.isdigit() and not isinstance(place, dict) else step]
    return place


def identity(case: dict[str, Any]) -> str:
    changed = case.get("set") or case.get("host_vars") or case.get("rename") or case.get("groups") or case.get("hosts")
    return f"{case['at']}-{shown(changed)}"


def test_there_are_enough_of_them_and_of_each_kind() -> None:
    assert len(TABLE) >= 150
    assert len({yaml.safe_dump(case) for case in TABLE}) == len(TABLE)
    kinds = Counter(case["code"] for case in TABLE)
    assert len(kinds) > 40 and kinds["value-range"] > 40 and kinds["value-format"] > 40


def test_the_inventory_that_they_are_made_of_is_accepted(tmp_path: Path) -> None:
    assert Files().check(tmp_path)["findings"] == []


@pytest.mark.parametrize("case", TABLE, ids=identity)
def test_a_wrong_inventory_is_refused_in_one_line_that_helps(case: dict[str, Any], tmp_path: Path) -> None:
    files = Files()
    files.change(case)
    result = files.check(tmp_path / "wrong")
    assert result["failed"], "accepted"
    found, *others = [one for one in result["findings"] if one["severity"] == "fail"]
    if "more" in case:
        (found,) = [one for one in result["findings"] if one["code"] == case["code"]][:1]
        assert case["more"] == "any" or sorted(one["code"] for one in result["findings"]) == sorted(
            [case["code"], *case["more"]]
        )
    else:
        assert not others, [line(one) for one in others]
    text = line(found)
    assert found["code"] == case["code"], text
    assert found["where"].startswith(case["at"]) and found["message"] and found["remedy"], text
    assert case["shows"] in text if "shows" in case else str(value_at(case)) in text or shown(value_at(case)) in text, (
        text
    )
    place = case.get(
        "place", {"hosts": "host_vars/"}.get(case.get("in", ""), f"group_vars/{case.get('in', 'tiny')}.yml:")
    )
    tagged = "shows" in case or not isinstance(value_at(case), bool) or "." in case["at"]
    assert not tagged or place in found["where"] or "is empty" in text, text
    assert len(text) <= LONGEST_LINE and "\n" not in text, text
    assert "planted" not in text + str(found["data"]) and case.get("hidden", "planted") not in text

    if "fix" in case:
        files.change(
            {**case, "fix_set": case["fix"], "null_is": 1}
            if None not in case["fix"].values()
            else {"in": case.get("in", "tiny"), "fix_set": case["fix"]},
            "fix_",
        )
    elif any(name.startswith("fix_") for name in case):
        files.change(case, "fix_")
    else:
        assert len(found["data"]["instead"]) == 1, f"{text}: the row has no fix, and the finding offers none"
        files.set(found["data"]["variable"], found["data"]["steps"], found["data"]["instead"][0])
    again = files.check(tmp_path / "mended")
    # a remedy can bring a warning of its own: documents that a chat keeps when a deployment embeds
    assert {one["code"] for one in again["findings"]} <= set(case.get("then", [])), again.get("msg")
