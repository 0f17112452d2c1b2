# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided for all ranks together, and the page that shows it. DeepSeek-R1 in BF16 on 4 x 8 A100 is the example."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import rendezvous
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan import decide
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan import page as plan_page
from nccl_machines import machine
from places import CHECKOUT, DATA

PROD = yaml.safe_load((CHECKOUT / "inventories/prod/group_vars/deepseek_r1.yml").read_text())
HOSTS = ["gpu1", "gpu2", "gpu3", "gpu4"]
RAILS = [{"hca": f"mlx5_{i}", "gpu": i} for i in range(4)]


def nodes() -> list[dict[str, Any]]:
    """Four nodes as the fact modules describe them: 8 GPUs and a rail for each pair of them."""
    found = []
    for rank in range(4):
        node = machine(PORTS, rank, gpus=8, capability="8.0")
        for gpu in node["gpus"]:
            gpu |= {"name": "NVIDIA A100-SXM4-80GB", "memory_total_mib": 81920}
        found.append(node)
    return found


PORTS = yaml.safe_load((DATA / "nccl/fabrics.yml").read_text())[0]["ports"]


def deployed(seen: list[dict[str, Any]], **changes: Any) -> decide.Deployed:
    values: dict[str, Any] = {
        "hosts": HOSTS,
        "rendezvous": [node.get("rendezvous", {"interface": "", "address": ""}) for node in seen],
        "gpu_facts": [
            {k: v for k, v in node.items() if k in ("gpus", "driver_version", "virtual_machine")} for node in seen
        ],
        "rdma_facts": [{k: v for k, v in node.items() if k in ("hcas", "netdevs")} for node in seen],
        "engine": "sglang",
        "engine_version": "0.5.23",
        "engine_args": PROD["engine_args"],
        "model_info": PROD["engine_model_info"],
        "hardware": PROD["engine_hardware"],
        "tensor_parallel_size": 32,
    }
    return decide.Deployed(**{**values, **changes})


def severities(decided: dict[str, Any]) -> set[str]:
    return {one["severity"] for one in decided["findings"]}


def test_the_example_fits_and_every_rank_has_its_environment_with_reasons() -> None:
    decided = decide.decide(deployed(nodes()))
    assert decided["fit"]["verdict"] == "fits"
    assert decided["proposal"]["engine_args"] == {"tensor_parallel_size": 32}
    assert set(decided["nccl"]["ranks"]) == set(HOSTS)
    for rank in decided["nccl"]["ranks"].values():
        assert rank["env"]["NCCL_IB_HCA"].startswith("=")
        assert set(rank["reasons"]) == set(rank["env"])
    assert "fail" not in severities(decided)


def test_declared_hardware_is_enough_for_the_memory_but_not_for_the_fabric() -> None:
    decided = decide.decide(deployed([{}, {}, {}, {}]))
    assert decided["fit"]["verdict"] == "fits"
    assert decided["nccl"] == {}


def test_one_node_without_facts_leaves_the_fabric_open() -> None:
    assert decide.decide(deployed([*nodes()[:3], {}]))["nccl"] == {}


def test_what_the_nodes_say_wins_over_what_was_declared() -> None:
    small = nodes()
    for gpu in small[2]["gpus"]:
        gpu |= {"name": "NVIDIA A100-SXM4-40GB", "memory_total_mib": 40960}
    decided = decide.decide(deployed(small))
    assert decided["fit"]["verdict"] == "does not fit"
    assert "fail" in severities(decided)
    assert "fail" not in severities(decide.decide(deployed(small, fit_required=False)))


def test_only_the_gpus_of_the_deployment_count() -> None:
    half = decide.hardware(deployed(nodes(), gpus=[0, 1, 2, 3]), nodes()[0])
    assert (half["gpus_per_node"], half["gpu"], half["memory_mib"]) == (4, "NVIDIA A100-SXM4-80GB", 81920)


@pytest.mark.parametrize("missing", ["model_info", "hardware"])
def test_without_model_or_gpus_nothing_is_claimed_about_memory(missing: str) -> None:
    decided = decide.decide(deployed([{}, {}, {}, {}], **{missing: {}}))
    assert (decided["fit"], decided["proposal"]) == ({}, {})


def results(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the role registers on each host, by the same functions."""
    facts = [
        {**node, "candidates": [], "listeners": [], "missing": [], "incomplete": [], "serves_here": True}
        if node
        else {}
        for node in seen
    ]
    places = [
        rendezvous.Place(h, r, **(n.get("rendezvous") or {})) for r, (h, n) in enumerate(zip(HOSTS, seen, strict=True))
    ]
    declared = [f"192.0.2.{11 + rank}" for rank in range(4)]
    places, _ = rendezvous.planned(places, declared, [])
    decided = decide.decide(deployed(seen))
    variables = []
    for place, fact in zip(places, facts, strict=True):
        options = {
            "engine": "sglang",
            "engine_version": "0.5.23",
            "deployment": "deepseek_r1",
            "rank": place.rank,
            "nnodes": 4,
            "rank_address": place.address,
            "interface": place.interface,
            "head_address": places[0].address,
            "rendezvous_port": 25000,
            "model": PROD["engine_model"],
            "runtime": "docker",
            "image": PROD["engine_image"],
            "tensor_parallel_size": 32,
            "gpus_per_node": 8,
            "engine_args": PROD["engine_args"],
            "env": decided["nccl"].get("ranks", {}).get(place.host, {}).get("env", {}),
        }
        launch = render(options, read_catalog("sglang"))
        variables.append(
            {
                "__engine_facts": fact,
                "engine_rendezvous": {"address": place.address, "interface": place.interface, "findings": []},
                "engine_command": {"launch": launch},
            }
        )
    variables[0]["__engine_plan"] = decided
    return variables


SETTINGS = {
    "engine": "sglang",
    "engine_version": "0.5.23",
    "model": "deepseek-r1",
    "endpoint": "http://192.0.2.11:30000/v1",
    "tensor_parallel_size": 32,
}


def test_the_page_has_arithmetic_ranks_reasons_and_commands() -> None:
    data = plan_page.plan_data("deepseek_r1", HOSTS, results(nodes()), SETTINGS)
    page = "\n".join(plan_page.plan_page(data))
    assert "/ 70272 = " in page and "tokens that fit: " in page
    for rank, host in enumerate(HOSTS):
        assert f"rank {rank} ({host})\n    docker run --rm " in page
        assert f"--node-rank {rank}" in page
    assert "NCCL_IB_HCA==mlx5_" in page
    for rank in data["ranks"]:
        # what the plan shows is what starts: the fabric's environment is in the command
        assert rank["nccl"]["env"].items() <= rank["env"].items()


def test_a_page_without_nodes_names_what_is_not_known() -> None:
    data = plan_page.plan_data("deepseek_r1", HOSTS, results([{}, {}, {}, {}]), SETTINGS)
    page = plan_page.plan_page(data)
    assert "  3  gpu4  192.0.2.14  (no facts of the node: the address is the declared one)" in page
    assert any(line.startswith("NCCL: decided at the start") for line in page)
    assert "--dist-init-addr 192.0.2.11:25000" in data["ranks"][3]["command"]


RACK = {
    "fabric_cluster_uuid": "00000001-0000-0000-0000-000000000001",
    "fabric_clique_id": 2,
    "fabric_state": "Completed",
}


def test_an_nvlink_domain_of_several_nodes_is_filled() -> None:
    """Four trays of one rack: tensor parallel 32 stays inside NVLink, and missing RDMA is no warning."""
    seen = nodes()
    for node in seen:
        node["hcas"] = []
        for gpu in node["gpus"]:
            gpu.update(RACK)
    decided = decide.decide(deployed(seen))
    assert "tensor parallel 32 stays inside an NVLink domain of 32" in decided["proposal"]["why"]
    assert {f["code"]: f["severity"] for f in decided["findings"]}["no-rdma"] == "info"
    assert decided["rdma"] == dict.fromkeys(HOSTS, False)


def test_a_node_that_does_not_answer_is_a_note_in_a_plan() -> None:
    places, findings = rendezvous.agree("d", "u", "", ["n1", "n2"], [{"msg": "refused"}, {}])
    assert {one["severity"] for one in findings} == {"fail"}
    places, findings = rendezvous.planned(places, ["192.0.2.1", "192.0.2.2"], findings)
    assert {one["severity"] for one in findings} == {"info"}
    assert [place.address for place in places] == ["192.0.2.1", "192.0.2.2"]


def test_the_page_has_the_address_that_clients_ask_and_the_router_before_the_head() -> None:
    routers = ["https://192.0.2.9:8443/v1", "https://192.0.2.10:8443/v1"]
    data = plan_page.plan_data(
        "deepseek_r1",
        HOSTS,
        results([{}, {}, {}, {}]),
        {**SETTINGS, "endpoint": routers[0], "routers": routers, "head_url": SETTINGS["endpoint"]},
    )
    first, second, *_rest = plan_page.plan_page(data)
    assert first.endswith("at https://192.0.2.9:8443/v1")
    assert second == "by a router (and at https://192.0.2.10:8443/v1), before the head at http://192.0.2.11:30000/v1"
    alone = plan_page.plan_page(plan_page.plan_data("deepseek_r1", HOSTS, results([{}, {}, {}, {}]), SETTINGS))
    assert not [line for line in alone if "by a router" in line]


def test_neither_page_nor_data_has_a_secret_of_the_environment() -> None:
    variables = results([{}, {}, {}, {}])
    for one in variables:
        launch = one["engine_command"]["launch"]
        launch["env"]["HF_TOKEN"] = "planted"
        launch["lines"]["docker"] += " --hf-token planted"
    data = plan_page.plan_data("deepseek_r1", HOSTS, variables, SETTINGS)
    assert "planted" not in str(data) + "\n".join(plan_page.plan_page(data))
