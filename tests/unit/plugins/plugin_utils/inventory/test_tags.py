# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tags of the chain: each step has one, the page lists them, and one by which nothing runs is reported."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import line
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import tags
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import NODES_ROLES
from places import CHECKOUT

GROUPS = {"gpu_nodes": ["n1"], "deployments": ["n1"], "router": []}


def test_each_step_of_the_chain_has_the_tag_of_its_playbook() -> None:
    steps = yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text())
    found = {step["ansible.builtin.import_playbook"]: step.get("tags") for step in steps}
    assert found.pop("inventory.yml") is None, "it has the tag always"
    assert found == {f"{tag}.yml": [tag] for tag in tags.STEPS}


def test_the_page_lists_the_tags_in_the_order_in_which_they_run() -> None:
    page = (CHECKOUT / "docs/verbs.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page.partition("## Tags")[2].partition("\n## ")[0], re.MULTILINE)
    assert listed == ["nodes", *NODES_ROLES, *list(tags.STEPS)[1:]]


@pytest.mark.parametrize(
    ("requested", "warnings"),
    [
        (["engines"], []),
        (["all"], []),
        (["mine", "engines"], []),
        (
            ["enginess"],
            ["--tags enginess: no step has such a tag, and nothing but the check of the inventory runs; write engines"],
        ),
        (
            ["docker"],
            [
                "--tags docker: nodes_roles of no host has docker, and its tasks are skipped; write nodes_roles: [docker]"
            ],
        ),
        (
            ["router"],
            [
                "--tags router: the inventory has no host in group router, and the step is skipped; write the group router"
            ],
        ),
    ],
)
def test_a_tag_by_which_nothing_runs_is_reported(requested: list[str], warnings: list[str]) -> None:
    assert [line(one) for one in tags.check(requested, GROUPS, ["rdma"])] == warnings
