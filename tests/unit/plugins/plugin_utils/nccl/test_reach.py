# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces lead to other nodes: by their addresses, and by whole names only where there are none."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.reach import elsewhere, is_local_name, leads_nowhere
from nccl_machines import machine


@pytest.mark.parametrize(
    ("name", "local"),
    [
        *(
            (n, True)
            for n in ("lo", "docker0", "docker_gwbridge", "virbr0", "veth12ab", "cni0", "flannel.1", "cali0a1b2c3d4e5")
        ),
        *((n, True) for n in ("br-0123456789ab", "cilium_host", "lxc0123456789ab", "podman0")),
        *(
            (n, False)
            for n in (
                "lom0",
                "lo0p1",
                "br-ex",
                "br-mgmt",
                "dockernet",
                "eth0",
                "bond0.100",
                "calico-uplink",
                "vethernet",
            )
        ),
    ],
)
def test_names(name: str, local: bool) -> None:
    assert is_local_name(name) is local


def with_interface(name: str, address: str, **more: Any) -> list[dict[str, Any]]:
    nodes = []
    for rank in range(2):
        own = address.replace("N", str(rank + 4))
        facts = machine([], rank, rendezvous={"interface": name, "address": own.partition("/")[0]})
        facts["netdevs"].append({"name": name, "addresses": [own], **more})
        nodes.append(facts)
    return nodes


@pytest.mark.parametrize("name", ["lom0", "br-ex", "br-0123456789ab", "veth0"])
def test_an_address_in_the_others_network_is_enough(name: str) -> None:
    result = nccl_env(dict(enumerate(with_interface(name, "10.20.0.N/24"))), {"nccl_version": "2.27.3"})
    assert result["ranks"]["0"]["env"]["NCCL_SOCKET_IFNAME"] == f"={name}"
    assert "rendezvous-interface" not in {f["code"] for f in result["findings"]}


def test_a_container_bridge_with_another_network_leads_nowhere() -> None:
    nodes = with_interface("docker0", "172.17.0.1/16")
    nodes[1]["rendezvous"] = {"interface": "eth0", "address": "192.168.5.5"}
    result = nccl_env(dict(enumerate(nodes)), {"nccl_version": "2.27.3"})
    assert [f["where"] for f in result["findings"] if f["code"] == "rendezvous-interface"] == ["0.rendezvous.interface"]


def test_the_loopback_is_right_for_one_node() -> None:
    assert nccl_lint({"NCCL_SOCKET_IFNAME": "=lo"}, {"peers": []}) == []
    (found,) = nccl_lint({"NCCL_SOCKET_IFNAME": "=lo"}, {"peers": ["10.0.0.2"]})
    assert (found["code"], found["severity"]) == ("unreachable-interface", "fail")
    (found,) = nccl_lint({"NCCL_SOCKET_IFNAME": "=lo"})
    assert found["severity"] == "warn"
    facts = machine([])
    result = nccl_env({"a": facts}, {"user_env": {"NCCL_SOCKET_IFNAME": "lo"}, "nccl_version": "2.27.3"})
    assert "unreachable-interface" not in {f["code"] for f in result["findings"]}


def test_what_nothing_tells_is_not_refused() -> None:
    node = read_node("a", {"netdevs": [{"name": "eth0"}]})
    assert leads_nowhere(node, "eth0", ["10.0.0.2"]) == ""
    assert leads_nowhere(node, "eth7", None) == ""
    assert not elsewhere(node, "eth0", ["10.0.0.2"])


def test_an_interface_of_another_network_is_a_warning() -> None:
    facts = machine([{"hca": "mlx5_0", "rate": 200}], rendezvous={"interface": "eth0", "address": "192.168.5.4"})
    found = nccl_lint({"NCCL_SOCKET_IFNAME": "=rdma0"}, {"facts": facts, "peers": ["192.168.5.5"]})
    assert [(f["code"], f["severity"], f["remedy"]) for f in found] == [("interface-elsewhere", "warn", "write =eth0")]
    assert nccl_lint({"NCCL_SOCKET_IFNAME": "=rdma0"}, {"facts": facts, "peers": ["10.1.0.9"]}) == []
