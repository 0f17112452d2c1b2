# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NCCL resolver against published machines, GID tables and topologies."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import pci_distance
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import PER_HOST, nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.gid import choose_gid
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lists import nccl_would_take, parse_names
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import default_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import parse_version
from nccl_machines import machine
from places import CHECKOUT, DATA

DATA = DATA / "nccl"
PROFILES = CHECKOUT / "plugins/plugin_utils/data/nccl_profiles"


def table(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((DATA / name).read_text())


def by_id(row: dict[str, Any]) -> str:
    return str(row.get("id") or row.get("name"))


def codes(result: dict[str, Any], severity: str = "") -> set[str]:
    return {f["code"] for f in result["findings"] if severity in ("", f["severity"])}


def two_nodes(row: dict[str, Any]) -> dict[str, Any]:
    kwargs = {"gpus": row.get("gpus", 8), "capability": row.get("capability", "9.0")}
    nodes = {f"node{r + 1}": machine(row["ports"], r, **kwargs, **row.get("facts", {})) for r in range(2)}
    nodes["node2"]["rendezvous"] = {**nodes["node1"]["rendezvous"], "address": "192.168.5.250"}
    return nodes


@pytest.mark.parametrize("row", table("defaults.yml"), ids=by_id)
def test_defaults_by_version(row: dict[str, Any]) -> None:
    assert default_of(row["name"], parse_version(row["version"]), row.get("kind", "")) == row["expect"]


@pytest.mark.parametrize("row", table("fabrics.yml"), ids=by_id)
def test_published_machine(row: dict[str, Any]) -> None:
    policy = {"nccl_version": "2.27.3", **row.get("policy", {})}
    if "profile" in row:
        policy["site_profile"] = yaml.safe_load((PROFILES / f"{row['profile']}.yml").read_text())
    result = nccl_env(two_nodes(row), policy)
    rank = result["ranks"]["node1"]
    if "expect_hca" in row:
        value = rank["env"]["NCCL_IB_HCA"]
        assert value.startswith("=")
        assert sorted(value[1:].split(",")) == sorted(row["expect_hca"])
    assert {k: rank["env"].get(k) for k in row.get("expect", {})} == row.get("expect", {})
    assert not set(row.get("absent", [])) & rank["env"].keys()
    assert rank["vendor_script"] == row.get("vendor_script", "")
    assert set(row.get("codes", [])) <= codes(result)
    if "codes" not in row:
        assert not codes(result, "fail")


@pytest.mark.parametrize("row", table("topo.yml"), ids=by_id)
def test_topology_matrix(row: dict[str, Any]) -> None:
    ports = [{"hca": name, "rate": 200, "layer": "InfiniBand"} for name in row["topology"]]
    distances = row["topology"]
    gpus = range(len(next(iter(distances.values()))))
    links = {f"GPU{i}": {"GPU9": "NV18", **{nic: to[i] for nic, to in distances.items()}} for i in gpus}
    facts = machine(ports, topology={"links": links}, virtual_machine=row["virtual_machine"])
    env = nccl_env({"a": facts}, {"nccl_version": "2.27.3"})["ranks"]["a"]["env"]
    assert env["NCCL_IB_HCA"] == row["expect"]


@pytest.mark.parametrize("row", table("gid.yml"), ids=by_id)
def test_gid_table(row: dict[str, Any]) -> None:
    layer = row.get("layer", "Ethernet")
    facts = {
        "hcas": [
            {
                "name": name,
                "ports": [
                    {
                        "port": 1,
                        "link_layer": layer,
                        "gids": [{"index": i, "gid": g, "type": t, "netdev": "eth1"} for i, g, t in rows],
                    }
                ],
            }
            for name, rows in row["tables"].items()
        ]
    }
    choice = choose_gid("a", read_node("a", facts).ports, parse_version(row["version"]))
    assert choice.index == row["index"]
    assert [f["code"] for f in choice.findings] == ([row["code"]] if "code" in row else [])
    if choice.index is None:
        assert choice.why
    if "family" in row:
        assert choice.family == row["family"]


def test_a_link_local_gid_that_looks_like_ipv4_is_not_routable() -> None:
    node = read_node("a", {"hcas": [{"name": "m", "ports": [{"gids": [{"index": 1, "gid": "fe80::ffff:a00:1"}]}]}]})
    assert node.ports[0].gids[0].family == ""


SWITCH = ("pci0000:16", "0000:16:02.0", "0000:17:00.0")


@pytest.mark.parametrize(
    ("nic", "numa", "expect"),
    [
        ((*SWITCH, "0000:18:01.0", "0000:1b:00.0"), 0, "PIX"),
        ((*SWITCH, "0000:18:01.0", "0000:1b:00.0", "0000:1c:00.0"), 0, "PXB"),
        ((*SWITCH, "0000:18:01.0", "0000:1b:00.0", "0000:1c:00.0", "0000:1d:00.0"), 0, "PXB"),
        (("pci0000:16", "0000:16:03.0", "0000:30:00.0"), 0, "PHB"),
        (("pci0000:40", "0000:40:02.0", "0000:41:00.0"), 0, "NODE"),
        (("pci0000:80", "0000:80:02.0", "0000:81:00.0"), 1, "SYS"),
        ((), 0, "NODE"),
        ((), -1, ""),
    ],
)
def test_distance_from_the_pci_chain(nic: tuple[str, ...], numa: int, expect: str) -> None:
    gpu = (*SWITCH, "0000:18:00.0", "0000:1a:00.0")
    assert pci_distance(gpu, nic, 0, numa) == expect
    assert pci_distance(nic, gpu, numa, 0) == expect


RAILS = [{"hca": "mlx5_0..mlx5_3", "rate": 200}]


def consistency(second: dict[str, Any], **policy: Any) -> set[str]:
    return codes(nccl_env({"a": machine(RAILS, 0), "b": second}, {"nccl_version": "2.27.3", **policy}))


def test_equal_nodes_have_no_findings() -> None:
    assert consistency(machine(RAILS, 1)) == set()


def test_rail_count_names_the_port_that_is_missing() -> None:
    ports = [{"hca": "mlx5_0..mlx5_2", "rate": 200}, {"hca": "mlx5_3", "rate": 200, "state": "DOWN"}]
    result = nccl_env({"a": machine(RAILS, 0), "b": machine(ports, 1)}, {"nccl_version": "2.27.3"})
    finding = next(f for f in result["findings"] if f["code"] == "rail-count-differs")
    assert finding["severity"] == "fail"
    assert finding["where"] == "b.hcas"
    assert "mlx5_3:1" in finding["message"]


@pytest.mark.parametrize(
    ("ports", "code"),
    [
        ([{"hca": "mlx5_0..mlx5_3", "rate": 100}], "rail-rate-differs"),
        ([{"hca": "mlx5_0..mlx5_3", "rate": 200, "layer": "InfiniBand"}], "rail-link-layer-differs"),
    ],
)
def test_unlike_rails_are_refused(ports: list[dict[str, Any]], code: str) -> None:
    result = nccl_env({"a": machine(RAILS, 0), "b": machine(ports, 1)}, {"nccl_version": "2.27.3"})
    assert code in codes(result, "fail")


def test_rails_cabled_in_another_order() -> None:
    other = machine(RAILS, 1)
    first, second = (next(n for n in other["netdevs"] if n["name"] == name) for name in ("rdma0", "rdma1"))
    first["addresses"], second["addresses"] = second["addresses"], first["addresses"]
    assert consistency(other) == {"rail-order-differs"}


def test_routed_rails_are_only_mentioned() -> None:
    other = machine(RAILS, 1)
    for netdev in other["netdevs"][1:]:
        netdev["addresses"] = [a.replace("10.", "11.", 1) for a in netdev["addresses"]]
    assert consistency(other) == {"rail-routed"}


def test_mtu_of_the_rails() -> None:
    other = machine(RAILS, 1)
    other["netdevs"][2]["mtu"] = 1500
    assert consistency(other) == {"rail-mtu-differs"}


def test_nccl_versions_must_be_equal() -> None:
    first, second = machine(RAILS, 0, nccl_version="2.27.3"), machine(RAILS, 1, nccl_version="2.21.5")
    assert "nccl-version-differs" in codes(nccl_env({"a": first, "b": second}), "fail")


def test_addresses_must_differ_and_be_of_one_family() -> None:
    same = machine(RAILS, 1, rendezvous={"interface": "eth0", "address": "192.168.5.4"})
    assert consistency(same) == {"rendezvous-address-shared"}
    six = machine(RAILS, 1, rendezvous={"interface": "eth0", "address": "fd00::2"})
    assert consistency(six) == {"rendezvous-family-differs"}


def test_ipv6_rendezvous_is_passed_to_nccl() -> None:
    facts = machine(RAILS, rendezvous={"interface": "eth0", "address": "fd00::2"})
    assert nccl_env({"a": facts})["ranks"]["a"]["env"]["NCCL_SOCKET_FAMILY"] == "AF_INET6"


@pytest.mark.parametrize("interface", ["lo", "docker0", "virbr0", "veth12ab", "cni0", "", "eth9"])
def test_interfaces_that_lead_nowhere(interface: str) -> None:
    result = nccl_env({h: machine(RAILS, r, rendezvous={"interface": interface}) for r, h in enumerate("ab")})
    assert "rendezvous-interface" in codes(result, "fail")
    rank = result["ranks"]["a"]
    assert "NCCL_SOCKET_IFNAME" in rank["unset"]
    assert "GLOO_SOCKET_IFNAME" not in rank["env"]


def test_of_a_bond_the_master() -> None:
    facts = machine(RAILS, rendezvous={"interface": "eth0", "address": "192.168.5.4"})
    facts["netdevs"][0]["master"] = "bond0"
    facts["netdevs"].append({"name": "bond0", "kind": "bond", "addresses": ["192.168.5.4/24"]})
    env = nccl_env({"a": facts})["ranks"]["a"]["env"]
    assert (env["NCCL_SOCKET_IFNAME"], env["GLOO_SOCKET_IFNAME"]) == ("=bond0", "bond0")


def test_the_second_port_filtered_out_is_why_a_port_is_named() -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_1", "rate": 200, "layer": "InfiniBand"}])
    down = {**facts["hcas"][0]["ports"][0], "port": 2, "state": "DOWN"}
    facts["hcas"][0]["ports"].append(down)
    facts["hcas"][1]["ports"].append({**facts["hcas"][1]["ports"][0], "port": 2})
    assert nccl_env({"a": facts})["ranks"]["a"]["env"]["NCCL_IB_HCA"] == "=mlx5_0:1,mlx5_1"


def test_a_vlan_with_the_default_route_makes_its_nic_a_management_one() -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_4", "rate": 200}])
    facts["netdevs"][0]["default_route"] = False
    facts["netdevs"].append({"name": "rdma0.100", "lower": ["rdma0"], "default_route": True})
    assert "mlx5_0" not in nccl_env({"a": facts})["ranks"]["a"]["env"]["NCCL_IB_HCA"]


@pytest.mark.parametrize(
    "change", [{"nvswitch_management": True}, {"node_type": "RNIC"}, {"pci_address": None}], ids=lambda c: next(iter(c))
)
def test_devices_that_carry_no_gpu_traffic(change: dict[str, Any]) -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_3", "rate": 200}])
    facts["hcas"][2] |= change
    rank = nccl_env({"a": facts})["ranks"]["a"]
    assert sorted(rank["env"]["NCCL_IB_HCA"][1:].split(",")) == ["mlx5_0", "mlx5_1", "mlx5_3"]
    assert "without mlx5_2:1" in rank["reasons"]["NCCL_IB_HCA"]


def test_ipoib_with_the_bootstrap_address_is_a_rail() -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_3", "rate": 200, "layer": "InfiniBand"}])
    facts["hcas"][0]["netdevs"] = ["ib0"]
    facts["netdevs"].append({"name": "ib0", "addresses": ["10.9.0.1/24"]})
    facts["rendezvous"] = {"interface": "ib0", "address": "10.9.0.1"}
    env = nccl_env({"a": facts})["ranks"]["a"]["env"]
    assert env["NCCL_IB_HCA"] == "=mlx5_0,mlx5_1,mlx5_2,mlx5_3"


def test_at_most_32_devices() -> None:
    result = nccl_env({"a": machine([{"hca": "mlx5_0..mlx5_39", "rate": 200, "layer": "InfiniBand"}])})
    assert len(result["ranks"]["a"]["env"]["NCCL_IB_HCA"].split(",")) == 32
    assert "hca-limit" in codes(result)


@pytest.mark.parametrize(("speed", "threads"), [(100_000, "4"), (25_000, None), (None, None)])
def test_fast_sockets(speed: int | None, threads: str | None) -> None:
    facts = machine([])
    facts["netdevs"][0]["speed_mbps"] = speed
    env = nccl_env({"a": facts})["ranks"]["a"]["env"]
    assert env.get("NCCL_SOCKET_NTHREADS") == threads
    assert env.get("NCCL_NSOCKS_PERTHREAD") == threads
    assert env["NCCL_IB_DISABLE"] == "1"


def test_no_rdma_warns_only_where_nodes_must_talk() -> None:
    assert "no-rdma" not in codes(nccl_env({"a": machine([])}))
    assert "no-rdma" in codes(nccl_env({"a": machine([], 0), "b": machine([], 1)}), "warn")


def test_facts_never_gathered_are_not_taken_for_no_rdma() -> None:
    result = nccl_env({"a": {}, "b": machine([], 1)})
    assert "facts-missing" in codes(result, "fail")
    assert "NCCL_IB_DISABLE" not in result["ranks"]["a"]["env"]


def test_the_user_wins_is_linted_and_can_unset() -> None:
    policy = {"user_env": {"NCCL_IB_RETRY_CNT": 12, "NCCL_DEBUG": None, "NCCL_IB_DISABLE": 1}, "nccl_version": "2.27.3"}
    result = nccl_env({"a": machine(RAILS)}, policy)
    rank = result["ranks"]["a"]
    assert rank["env"]["NCCL_IB_RETRY_CNT"] == "12"
    assert "NCCL_DEBUG" in rank["unset"]
    assert "NCCL_IB_HCA" in rank["unset"]
    assert [f["where"] for f in result["findings"]] == ["policy.user_env.NCCL_IB_RETRY_CNT"]


def test_the_users_own_list_ends_the_judging_of_ours() -> None:
    mixed = [{"hca": "mlx5_0..mlx5_1", "rate": 200}, {"hca": "mlx5_2..mlx5_3", "rate": 100}]
    policy = {"user_env": {"NCCL_IB_HCA": "=mlx5_0,mlx5_1"}, "nccl_version": "2.27.3"}
    result = nccl_env({"a": machine(mixed, 0), "b": machine(mixed, 1)}, policy)
    assert codes(result) == set()
    assert result["ranks"]["b"]["env"]["NCCL_IB_HCA"] == "=mlx5_0,mlx5_1"


def test_profile_forbids_what_breaks_its_fabric() -> None:
    profile = yaml.safe_load((PROFILES / "dgx-spark-ring.yml").read_text())
    policy = {"site_profile": profile, "user_env": {"NCCL_IB_GID_INDEX": 3}, "nccl_version": "2.30.5"}
    assert "profile-forbids" in codes(nccl_env({"a": machine(RAILS)}, policy), "fail")


def test_a_profile_with_derived_values_does_not_get_them_through() -> None:
    profile = {"name": "x", "source": "y", "fabric": "roce", "env": {"NCCL_IB_HCA": "mlx5", "NCCL_ALGO": "Ring"}}
    result = nccl_env({"a": machine(RAILS)}, {"site_profile": profile, "nccl_version": "2.27.3"})
    assert result["ranks"]["a"]["env"]["NCCL_IB_HCA"].startswith("=")
    assert "NCCL_ALGO" in result["ranks"]["a"]["unset"]
    assert [f["code"] for f in result["findings"]] == ["profile-invalid", "profile-invalid"]


@pytest.mark.parametrize(
    ("policy", "where"),
    [
        ({"nccl_version": 2.20}, "policy.nccl_version"),
        ({"nccl_versoin": "2.21"}, "policy.nccl_versoin"),
        ({"exclude_hcas": "mlx5_0"}, "policy.exclude_hcas"),
        ({"companions": ["gloo"]}, "policy.companions"),
        ({"user_env": {"A": True}}, "policy.user_env.A"),
        ({"user_env": ["A"]}, "policy.user_env"),
        ({"site_profile": "oci-h100"}, "policy.site_profile"),
        ("2.21", "policy"),
    ],
)
def test_mistakes_in_the_policy_are_findings(policy: Any, where: str) -> None:
    found = [f for f in nccl_env({"a": machine(RAILS)}, policy)["findings"] if f["severity"] == "fail"]
    assert [f["where"] for f in found] == [where]


def test_what_must_not_be_copied_between_hosts() -> None:
    policy = {"companions": ["ucx", "nvshmem"], "engine": "vllm", "nccl_version": "2.18.3"}
    result = nccl_env({"a": machine(RAILS)}, policy)
    assert set(result["per_host"]) == PER_HOST - {"SGLANG_HOST_IP"}


def test_names_as_nccl_reads_them() -> None:
    assert parse_names("mlx5_1").matches("mlx5_10")
    assert not parse_names("=mlx5_1").matches("mlx5_10")
    assert not parse_names("^=mlx5_1").matches("mlx5_1")
    assert parse_names("^=mlx5_1").matches("mlx5_10")
    assert parse_names("=mlx5_0::0:1,mlx5_1:2").entries == (("mlx5_0", None), ("mlx5_1", 2))


def test_what_nccl_would_take_by_itself() -> None:
    assert nccl_would_take(["lo", "docker0", "eth0", "ib0"]) == ["ib0"]
    assert nccl_would_take(["lo", "docker0", "eth0", "eth1"]) == ["eth0", "eth1"]
    assert nccl_would_take(["lo", "docker0", "virbr0"]) == ["docker0"]
    assert nccl_would_take(["lo", "virbr0"]) == ["lo"]
    assert nccl_would_take([]) == []


@pytest.mark.parametrize(
    ("value", "expect"),
    [
        ("2.21.5", (2, 21, 5)),
        ("v2.27.3-1", (2, 27, 3)),
        ("2.27.3+cuda12.9", (2, 27, 3)),
        ((2, 21, 5), (2, 21, 5)),
        ([2, 21, 5], (2, 21, 5)),
        (22105, (2, 21, 5)),
        (2708, (2, 7, 8)),
        (2.2, None),
        ("latest", None),
        (True, None),
        (None, None),
    ],
)
def test_versions(value: Any, expect: Any) -> None:
    assert parse_version(value) == expect
