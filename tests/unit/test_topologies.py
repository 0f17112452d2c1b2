# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of each topology: its launches are accepted on every rank, and its plan fits, before any node is there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rehearsal
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan import decide
from places import CHECKOUT

FOLDER = CHECKOUT / "examples/topologies"
GROUPS = yaml.safe_load((FOLDER / "hosts.yml").read_text())["all"]["children"]["deployments"]["children"]
EVERYWHERE = yaml.safe_load((FOLDER / "group_vars/gpu_nodes.yml").read_text())
EXPECTED: dict[str, dict[str, Any]] = {
    "tensor": {"gpus": 16, "schedulers": 1, "words": "--tensor-parallel-size 16"},
    "pipeline": {"gpus": 16, "schedulers": 1, "words": "--tensor-parallel-size 8 --pipeline-parallel-size 2"},
    "wide_ep": {"gpus": 32, "schedulers": 32, "words": "--tensor-parallel-size 32, --attention-data-parallel-size 32"},
    "copies": {"gpus": 16, "schedulers": 2, "words": "--tensor-parallel-size 8 --data-parallel-size 2"},
}
each = pytest.mark.parametrize("name", sorted(EXPECTED))


def variables(name: str) -> dict[str, Any]:
    return EVERYWHERE | yaml.safe_load((FOLDER / f"group_vars/{name}.yml").read_text())


def test_every_deployment_is_a_topology_of_the_page() -> None:
    assert set(GROUPS) == set(EXPECTED)
    page = (CHECKOUT / "docs/topologies.md").read_text()
    for name in EXPECTED:
        assert f"`{name}`" in page


@each
def test_launches_are_accepted_and_have_the_sizes(name: str) -> None:
    values, nnodes = variables(name), len(GROUPS[name]["hosts"])
    catalog = read_catalog(values["engine_name"])
    assert rehearsal.refused(name, nnodes, values, catalog) == []
    for rank in range(nnodes):
        launch = render(rehearsal._options(name, nnodes, rank, values), catalog)
        assert [one for one in launch["findings"] if one["severity"] == "fail"] == []
        words = " ".join(launch["engine_argv"])
        assert all(part in words for part in EXPECTED[name]["words"].split(", "))
        assert launch["serves"] == (rank == 0)
        assert {key: launch["parallel"][key] for key in ("gpus", "schedulers")}.items() <= EXPECTED[name].items()


@each
def test_the_plan_fits_without_a_node(name: str) -> None:
    values, hosts = variables(name), list(GROUPS[name]["hosts"])
    deployed = decide.Deployed(
        hosts=hosts,
        rendezvous=[{} for _host in hosts],
        gpu_facts=[{} for _host in hosts],
        rdma_facts=[{} for _host in hosts],
        engine=values["engine_name"],
        engine_version=values["engine_version"],
        engine_args=values["engine_args"],
        model_info=values["engine_model_info"],
        hardware=values["engine_hardware"],
        tensor_parallel_size=values["engine_tensor_parallel_size"],
        pipeline_parallel_size=values.get("engine_pipeline_parallel_size", 1),
        data_parallel_size=values.get("engine_data_parallel_size", 1),
    )
    decided = decide.decide(deployed)
    assert [one for one in decided["findings"] if one["severity"] == "fail"] == []
    assert decided["fit"]["verdict"] == "fits"
