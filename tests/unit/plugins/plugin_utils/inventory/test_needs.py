# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What variables need of each other. The table of wrong inventories has each need once; here is what it must not refuse."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import needs
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.needs import Context
from places import CHECKOUT

HERE = Context("tiny", ("n1", "n2"), ("tiny",), ("roce",))
COMMIT = "0" * 40


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (needs.weights, {}),
        (needs.weights, {"model_hub": "path", "model_repo": "/mnt/x", "model_revision": ""}),
        (needs.weights, {"model_hub": "git-lfs", "model_repo": "git@git.example:x/y.git", "model_revision": COMMIT}),
        (needs.weights, {"model_hub": "huggingface", "model_repo": "a/b"}),  # the revision is known on the node only
        (needs.weights, {"model_fetch_host": "n2"}),
        (needs.engine, {"engine_nccl": {"site_profile": "roce"}}),
        (needs.nodes, {"nodes_roles": []}),
        (needs.nodes, {"nvidia_driver_source": "runfile"}),  # the role is not named
        (needs.nodes, {"nodes_roles": ["rdma"], "rdma_source": "inbox"}),
        (needs.router, {"router_deployments": ["tiny"]}),
        (needs.webui, {"webui_tls_certificate": "", "webui_tls_key": ""}),
        (needs.monitoring, {"monitoring_grafana": False}),
    ],
)
def test_what_can_be_is_not_refused(rule: needs.Rule, values: dict[str, Any]) -> None:
    assert list(rule(values, HERE)) == []


def test_what_only_docker_reads_is_what_the_role_has() -> None:
    variables = yaml.safe_load((CHECKOUT / "roles/docker/vars/main.yml").read_text())
    assert set(needs.OF_DOCKER_ONLY) == set(variables["__docker_of_docker_only"])


def test_a_need_of_the_host_settings_is_that_of_the_role() -> None:
    values = {"nodes_roles": ["host_tuning"], "host_tuning_sysctl": {"vm.swappines": 1}}
    (one,) = needs.nodes(values, HERE)
    assert (one.variable, one.steps) == ("host_tuning_sysctl", ("vm.swappines",))
    assert "write vm.swappiness" in one.remedy


@pytest.mark.parametrize(
    ("values", "embedding", "named"),
    [
        ({}, ["minilm"], "minilm"),
        ({"webui_backends": [{"url": "http://192.0.2.9/v1", "task": "embed"}]}, [], "http://192.0.2.9/v1"),
        ({"webui_backends": [{"url": "http://192.0.2.9/v1"}]}, ["minilm"], ""),
        ({}, [], ""),
        ({"webui_database_url": "postgresql://u:p@db/chats"}, ["minilm"], ""),
        ({"webui_runtime": "docker"}, ["minilm"], ""),
        ({"webui_requirements": "/root/list.txt"}, ["minilm"], ""),
        ({"webui_env": {"VECTOR_DB": "qdrant"}}, ["minilm"], ""),
    ],
)
def test_documents_need_a_store_of_vectors(values: dict[str, Any], embedding: list[str], named: str) -> None:
    context = needs.Context("webui", ["w1"], ["chat", "minilm"], embedding=embedding)
    found = [one for one in needs.webui(values, context) if one.code == "documents-without-store"]
    assert [(one.variable, one.warns, named in one.message) for one in found] == (
        [("webui_database_url", True, True)] if named else []
    )
