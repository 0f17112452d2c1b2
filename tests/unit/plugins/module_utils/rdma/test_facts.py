# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HCAs and network interfaces of recorded nodes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host, natural_key
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import smi
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import facts as rdma_facts
from hypothesis import given, settings
from hypothesis import strategies as st


def facts(tree: str, tmp_path: Path) -> dict[str, Any]:
    return rdma_facts.collect(Host(str(recorded.unpack(tree, tmp_path))))


def named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def test_infiniband_node(tmp_path: Path) -> None:
    node = facts("h100-infiniband", tmp_path)
    assert [hca["name"] for hca in node["hcas"]] == [f"mlx5_{n}" for n in range(12)], "2 before 10"
    rails = [hca for hca in node["hcas"] if hca["ports"][0]["link_layer"] == "InfiniBand"]
    assert [hca["name"] for hca in rails] == [f"mlx5_{n}" for n in (0, 3, 4, 5, 6, 9, 10, 11)]
    assert named(node["hcas"], "mlx5_0") == {
        "name": "mlx5_0",
        "node_type": "CA",
        "fw_ver": "28.39.1002",
        "hca_type": "MT4129",
        "board_id": "DEL0000000036",
        "node_guid": "946d:ae03:00cd:e72c",
        "pci_address": "0000:18:00.0",
        "pci_path": ["pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:00.0", "0000:18:00.0"],
        "numa_node": 0,
        "is_vf": False,
        "nvswitch_management": False,
        "netdevs": ["ibs0"],
        "ports": [
            {
                "port": 1,
                "state": "ACTIVE",
                "phys_state": "LinkUp",
                "rate_gbps": 400.0,
                "link_layer": "InfiniBand",
                "lid": 75,
                "gids": [{"index": 0, "gid": "fe80::946d:ae03:cd:e72c", "type": "IB", "netdev": None}],
            }
        ],
    }
    down = named(node["hcas"], "mlx5_2")["ports"][0]
    assert (down["state"], down["phys_state"], down["gids"]) == ("DOWN", "Disabled", [])


def test_roce_node(tmp_path: Path) -> None:
    node = facts("a100-roce", tmp_path)
    gids = named(node["hcas"], "mlx5_0")["ports"][0]["gids"]
    assert [(gid["index"], gid["type"], gid["netdev"]) for gid in gids] == [
        (0, "RoCE v1", "rdma0"),
        (1, "RoCE v2", "rdma0"),
        (2, "RoCE v1", "rdma0"),
        (3, "RoCE v2", "rdma0"),
    ]
    assert gids[3]["gid"] == "::ffff:192.168.0.11"
    assert named(node["hcas"], "mlx5_6")["ports"][0]["gids"][3] == {
        "index": 3,
        "gid": "::ffff:200.0.209.6",
        "type": "RoCE v2",
        "netdev": "bond0",
    }


def test_interfaces(tmp_path: Path) -> None:
    netdevs = facts("a100-roce", tmp_path)["netdevs"]
    kinds = {netdev["name"]: netdev["kind"] for netdev in netdevs}
    assert kinds["lo"] == "loopback"
    assert kinds["docker0"] == "bridge"
    assert kinds["rdma3"] == kinds["ens9f0np0"] == "physical"
    bond = named(netdevs, "bond0")
    assert (bond["kind"], bond["lower"], bond["default_route"]) == ("bond", ["ens9f0np0", "ens9f1np1"], True)
    assert bond["addresses"] == ["200.0.209.6/24"]
    slave = named(netdevs, "ens9f1np1")
    assert (slave["master"], slave["speed_mbps"], slave["default_route"]) == ("bond0", 25000, False)
    assert slave["pci_path"] == ["pci0000:60", "0000:60:01.0", "0000:61:00.1"]
    rail = named(netdevs, "rdma7")
    assert (rail["mtu"], rail["speed_mbps"], rail["numa_node"]) == (9000, 200000, 1)
    assert rail["addresses"] == ["192.168.7.11/24"]


def test_link_local_ipv6_is_no_address_and_no_speed_is_none(tmp_path: Path) -> None:
    netdevs = facts("h100-infiniband", tmp_path)["netdevs"]
    assert named(netdevs, "ens1f0np0")["addresses"] == ["10.0.0.21/24"]
    assert named(netdevs, "ens2f0np0")["speed_mbps"] is None
    assert "bonding_masters" not in {netdev["name"] for netdev in netdevs}


def test_guest_with_virtual_functions(tmp_path: Path) -> None:
    node = facts("a100-guest-infiniband", tmp_path)
    first = named(node["hcas"], "mlx5_0")
    assert first["pci_path"] == ["pci0101:00", "0101:00:02.0"], "what the hypervisor puts above the bridge is left out"
    assert all(hca["is_vf"] for hca in node["hcas"])
    assert named(node["hcas"], "mlx5_8")["ports"][0]["gids"] == []
    assert named(node["netdevs"], "enP48939s1")["master"] == "eth0"


def test_container_sees_its_own_gids_only(tmp_path: Path) -> None:
    node = facts("container-roce", tmp_path)
    gids = named(node["hcas"], "mlx5_1")["ports"][0]["gids"]
    assert [gid["index"] for gid in gids] == [4, 5, 6, 7]
    assert gids[3] == {"index": 7, "gid": "::ffff:10.152.4.12", "type": "RoCE v2", "netdev": "net2"}
    assert node["problems"] == ["ip (package iproute2) is not installed: no addresses"]


def test_recorded_two_port_hca_without_device_links(tmp_path: Path) -> None:
    node = facts("procfs-fixture", tmp_path)
    ports = named(node["hcas"], "mlx4_0")["ports"]
    assert [(port["port"], port["state"], port["rate_gbps"]) for port in ports] == [
        (1, "ACTIVE", 40.0),
        (2, "ACTIVE", 40.0),
    ]
    assert ports[1]["link_layer"] == "InfiniBand", "the driver's second line break does not count"
    assert named(node["hcas"], "hfi1_0")["pci_address"] is None


@pytest.mark.parametrize(
    ("tree", "topology"),
    [("a100-roce", "topo-a100-10hca.txt"), ("h100-infiniband", "topo-h100-12hca-pcie.txt")],
)
def test_pci_paths_agree_with_the_topology_matrix(tree: str, topology: str, tmp_path: Path) -> None:
    """Sharing a bridge below the host bridge is what nvidia-smi calls PIX or PXB."""
    host = Host(str(recorded.unpack(tree, tmp_path)))
    links = smi.parse_topology(recorded.smi(topology))["links"]
    gpus = [pci.chain(host.resolve(f"{pci.DEVICES}/{address}")) for address in pci.find(host, "0x10de", ("0x0302",))]
    hcas = rdma_facts.collect(host)["hcas"]
    near_by_path = {
        (tuple(gpu), hca["name"]) for gpu in gpus for hca in hcas if len(set(gpu) & set(hca["pci_path"])) > 2
    }
    # the numbers of the GPUs of the A100 table do not follow the addresses of the built tree: compare the groups
    groups_by_path = sorted(sorted(name for chain, name in near_by_path if chain == tuple(gpu)) for gpu in gpus)
    groups_by_matrix = sorted(
        sorted(name for name, link in row.items() if name.startswith("mlx") and link in ("PIX", "PXB"))
        for row in links.values()
    )
    assert groups_by_path == groups_by_matrix


def test_soft_rdma_names_its_interface(tmp_path: Path) -> None:
    recorded.write(tmp_path, "sys/class/infiniband/rxe0/parent", "eth0")
    (hca,) = rdma_facts.collect(Host(str(tmp_path)))["hcas"]
    assert (hca["netdevs"], hca["pci_path"], hca["ports"]) == (["eth0"], [], [])


def test_management_port_of_an_nvswitch(tmp_path: Path) -> None:
    recorded.write(tmp_path, "sys/class/infiniband/mlx5_8/device/vpd", "\x02xxSW_MNG\x00")
    assert rdma_facts.collect(Host(str(tmp_path)))["hcas"][0]["nvswitch_management"] is True


@pytest.mark.parametrize(("printed", "expected"), [("-1", None), ("0", 0), ("1", 1), ("", None)])
def test_numa_node(printed: str, expected: int | None, tmp_path: Path) -> None:
    recorded.write(tmp_path, "sys/class/infiniband/mlx5_0/device/numa_node", printed)
    assert rdma_facts.collect(Host(str(tmp_path)))["hcas"][0]["numa_node"] == expected


def test_virtual_function_on_the_host(tmp_path: Path) -> None:
    recorded.write(tmp_path, "sys/class/infiniband/mlx5_8/device/physfn/vendor", "0x15b3")
    assert rdma_facts.collect(Host(str(tmp_path)))["hcas"][0]["is_vf"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200 Gb/sec (4X HDR)", 200.0), ("2.5 Gb/sec (1X SDR)", 2.5), ("", None), (None, None), ("fast", None)],
)
def test_rate(text: str | None, expected: float | None) -> None:
    assert rdma_facts.parse_rate(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0000:0000:0000:0000:0000:ffff:0ac8:010a", "::ffff:10.200.1.10"),
        ("fe80:0000:0000:0000:a288:c2ff:fe3b:506a", "fe80::a288:c2ff:fe3b:506a"),
        ("0000:0000:0000:0000:0000:0000:0000:0000", None),
        ("unknown", None),
        (None, None),
    ],
)
def test_gid(text: str | None, expected: str | None) -> None:
    assert rdma_facts.parse_gid(text) == expected


@pytest.mark.parametrize(
    ("kind", "link_layer", "expected"),
    [
        ("IB/RoCE v1", "InfiniBand", "IB"),
        ("IB/RoCE v1", "Ethernet", "RoCE v1"),
        ("RoCE v2", "Ethernet", "RoCE v2"),
        (None, "Ethernet", None),
    ],
)
def test_gid_type(kind: str | None, link_layer: str, expected: str | None) -> None:
    assert rdma_facts.parse_gid_type(kind, link_layer) == expected


def test_default_routes_of_both_families() -> None:
    route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0\t3\t0\t0\t0\t00000000\n"
    zeros = "0" * 32
    ipv6 = (
        f"{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth1\n"
        f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 lo\n"
    )
    assert rdma_facts.default_route_interfaces(route, ipv6) == {"eth0", "eth1"}
    assert rdma_facts.default_route_interfaces("", "") == set()


@pytest.mark.parametrize("output", ["", "{}", "[1]", "not json", '[{"addr_info": [{"prefixlen": 8}]}]'])
def test_ip_of_another_form_is_a_problem_or_nothing(output: str, tmp_path: Path) -> None:
    recorded.command(tmp_path, "ip -json address show", output)
    node = rdma_facts.collect(Host(str(tmp_path)))
    assert node["netdevs"] == []
    assert all(problem.startswith("ip -json address show: ") for problem in node["problems"])


def test_ip_that_fails(tmp_path: Path) -> None:
    recorded.command(tmp_path, "ip -json address show", 'Option "-json" is unknown, try "ip -help".\n', rc=255)
    assert rdma_facts.collect(Host(str(tmp_path)))["problems"] == [
        'ip -json address show: Option "-json" is unknown, try "ip -help".'
    ]


def test_a_link_out_of_the_recorded_tree_leads_nowhere(tmp_path: Path) -> None:
    recorded.write(tmp_path, "root/sys/class/infiniband/mlx5_0", "-> ../../../../outside")
    recorded.write(tmp_path, "outside/device", "x")
    assert Host(str(tmp_path / "root")).resolve("/sys/class/infiniband/mlx5_0") is None


LEAF = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "4: ACTIVE",
        "200 Gb/sec (4X HDR)",
        "Ethernet",
        "IB/RoCE v1",
        "fe80:0000:0000:0000:0000:0000:0000:0001",
        "\x00\xff",
        "4294967295",
        '[{"addr_info": "none"}]',
        "a 00 b c d e f g h i",
    ]
)
PATH = st.sampled_from(
    [
        *(f"sys/class/infiniband/mlx5_0/{file}" for file in ("node_type", "fw_ver", "parent", "device/net/eth0/mtu")),
        *(f"sys/class/infiniband/mlx5_0/ports/1/{file}" for file in ("state", "rate", "link_layer", "lid", "gids/0")),
        "sys/class/infiniband/mlx5_0/ports/1/gid_attrs/types/0",
        "sys/class/infiniband/mlx5_0/ports/x/state",
        "sys/class/infiniband/plain_file",
        *(f"sys/class/net/eth0/{file}" for file in ("mtu", "speed", "type", "carrier", "bonding/mode", "operstate")),
        "proc/net/route",
        "proc/net/ipv6_route",
        "commands/ip -json address show",
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(PATH, LEAF, max_size=12))
def test_any_tree_gives_facts_and_never_an_exception(files: dict[str, str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            recorded.write(Path(folder), path, content)
        json.dumps(rdma_facts.collect(Host(folder)))


@given(st.lists(st.from_regex(r"[a-z]{1,3}_?[0-9]{0,3}", fullmatch=True)), st.randoms())
@settings(max_examples=40)
def test_natural_order_does_not_depend_on_where_one_began(names: list[str], random: Random) -> None:
    shuffled = random.sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == sorted(names, key=natural_key)


def test_natural_order_counts_numbers() -> None:
    assert sorted(["eth10", "eth2", "eth1", "10", "9"], key=natural_key) == ["9", "10", "eth1", "eth2", "eth10"]
