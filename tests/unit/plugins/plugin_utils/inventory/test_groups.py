# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployments as Ansible's own inventory has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import deployments
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import Deployment
from inventory_vars import task_vars


def test_a_deployment_is_a_child_of_deployments_and_no_other_group_of_the_same_hosts(tmp_path: Path) -> None:
    text = "all: {children: {racks: {hosts: {a: , b: }}, deployments: {children: {one: {hosts: {b: , a: }}, none: }}}}"
    found = deployments(task_vars(tmp_path, text))
    assert found == [Deployment("one", ("b", "a")), Deployment("none", ())]


def test_an_inventory_without_the_group(tmp_path: Path) -> None:
    assert deployments(task_vars(tmp_path, "all: {hosts: {a: }}")) is None


def test_an_ansible_core_that_hides_its_inventory_is_named_as_the_cause() -> None:
    with pytest.raises(RuntimeError, match="ansible-core hides the child groups of 'deployments'"):
        deployments({"groups": {}, "hostvars": {}})
