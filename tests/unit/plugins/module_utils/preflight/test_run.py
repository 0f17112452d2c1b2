# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of one node: a good one passes them all, each planted fault is found, ten at once too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preflight_node as node
import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.common import findings
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.pci_topology import acs_redirects
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import cuda as nvidia_cuda
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import run, system
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from hypothesis import given, settings
from hypothesis import strategies as st
from preflight_faults import FAULTS, without
from preflight_node import ADDRESS, GIB, PEER, PING


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return node.lay_out(tmp_path)


def test_the_good_node_passes_everything(root: Path) -> None:
    answer = node.ask(root)
    assert [check for check in answer["checks"] if check["severity"] != "pass"] == []
    assert answer["node"]["versions"] == {"vllm": "0.9.0", "nvidia_nccl_cu12": "2.26.2"}
    assert answer["node"]["mtu"] == 1500
    assert answer["node"]["image_id"] == "sha256:aa"
    json.dumps(answer)


def test_over_ray_the_python_of_the_environment_is_compared_too(root: Path) -> None:
    recorded.write(root, "commands/opt/engine/bin/python --version", "Python 3.12.3\n")
    assert "python" not in node.ask(root)["node"]["versions"]
    assert node.ask(root, ray=True)["node"]["versions"]["python"] == "3.12.3"


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_with_its_remedy(name: str, root: Path) -> None:
    id, status, part, plant = FAULTS[name]
    wanted = node.wanted()
    plant(root, wanted)
    answer = run.run(Host(str(root)), wanted)
    found = [check for check in answer["checks"] if (check["code"], check["severity"]) == (id, status)]
    assert found, f"{id} does not say {status}"
    assert part in f"{found[0]['message']} {found[0]['remedy']}"
    assert found[0]["remedy"]
    assert found[0]["where"]


def test_ten_faults_are_found_in_one_run(root: Path) -> None:
    names = (
        "full disk",
        "wrong MTU",
        "no engine",
        "port taken",
        "cut link",
        "no headers",
        "memlock",
        "fabric in progress",
        "lost GPU",
        "GPU memory in use",
    )
    # one nvidia-smi has both of the last three: seven GPUs of a fabric in progress, in use
    wanted = node.wanted()
    for name in names:
        FAULTS[name][3](root, wanted)
    node.gpus(root, count=7, product="h200", fabric="In Progress", used_mib=60000, processes=((99, "python", 59990),))
    failed = {check["code"] for check in run.run(Host(str(root)), wanted)["checks"] if check["severity"] == "fail"}
    assert {FAULTS[name][0] for name in names} <= failed


# --- what is no fault ---


@pytest.mark.parametrize(
    ("cgroup", "own"),
    [
        ("0::/system.slice/fullrank-rank@r1.service", ["fullrank-rank-r1"]),
        ("0::/system.slice/fullrank-rank@r1.service", ["fullrank-rank@r1.service"]),
        (f"0::/system.slice/docker-{node.CONTAINER}.scope", ["fullrank-rank-r1"]),
        (f"5:pids:/x\\n1:name=systemd:/docker/{node.CONTAINER}", ["fullrank-rank-r1"]),
        ("0::/system.slice/fullrank-rank@r1.service", []),  # by the deployment's name alone
        (f"0::/system.slice/docker-{node.CONTAINER}.scope", []),
    ],
)
def test_what_our_own_engine_holds_is_no_fault(cgroup: str, own: list[str], root: Path) -> None:
    recorded.command(
        root,
        "docker ps --no-trunc --format {{.ID}} {{.Names}}",
        f"{'0' * 64} other\n{node.CONTAINER} fullrank-rank-r1\n",
    )
    node.listen(root, 8000)
    node.process(root, 77, "vllm", cgroup, inode=4242)
    node.gpus(root, used_mib=70000, processes=((77, "vllm", 69000),))
    answer = node.ask(root, own=own)
    assert node.trouble(answer) == []
    assert any("held by our own vllm" in check["message"] for check in answer["checks"])


def test_shm_that_our_own_engine_holds_is_no_fault(root: Path) -> None:
    node.space(root, data=800 * GIB, shm=GIB)
    recorded.command(root, "systemctl is-active " + " ".join(names.of_rank("r1")), "active\n")
    assert node.trouble(node.ask(root)) == []
    assert node.trouble(node.ask(root, shm_bytes=600 * GIB)) != []


@pytest.mark.parametrize(
    ("present", "copies", "status", "part"),
    [
        (700 * GIB, 1, "pass", "nothing to be written: weights"),
        (670 * GIB, 2, "pass", "nothing to be written: weights"),  # people round sizes up
        (650 * GIB, 1, "pass", "800 GiB free, 50 GiB needed"),
        (0, 1, "pass", "800 GiB free, 700 GiB needed"),
        (500 * GIB, 2, "fail", "800 GiB free, 900 GiB needed"),
    ],
)
def test_weights_that_are_there_need_no_space(present: int, copies: int, status: str, part: str, root: Path) -> None:
    weights = {"path": "/data/models", "bytes": 700 * GIB, "purpose": "weights", "copies": copies, "reuse": True}
    du = "du --dereference --apparent-size --block-size=1 --summarize"
    recorded.command(root, f"{du} /data/models", f"{present}\t/data/models\n")
    recorded.command(root, f"{node.DF} /data/models", f"head\n/data xfs {2048 * GIB} {800 * GIB}\n")
    (space,) = [
        check for check in node.ask(root, paths=[weights], shm_bytes=0)["checks"] if check["code"] == "disk-space"
    ]
    assert (space["severity"], part in space["message"]) == (status, True)


def test_a_verified_copy_needs_no_space_whatever_size_is_configured(root: Path) -> None:
    recorded.write(root, "data/models/.fullrank/READY", "the sha256 of a manifest")
    weights = {"path": "/data/models", "bytes": 9000 * GIB, "purpose": "weights", "copies": 2, "reuse": True}
    (space,) = [
        check for check in node.ask(root, paths=[weights], shm_bytes=0)["checks"] if check["code"] == "disk-space"
    ]
    assert (space["severity"], space["message"]) == ("pass", "nothing to be written: weights")


@pytest.mark.parametrize(
    "changes",
    [{"network": "200.0.209.0/24"}, {"peers": [{"name": "node2", "address": "node2.example", "ports": [22]}]}, {}],
    ids=["by network", "by name", "by route"],
)
def test_addresses_that_are_not_given_are_found(changes: dict[str, Any], root: Path) -> None:
    recorded.command(root, f"ip -json route get {PEER}", json.dumps([{"dev": "bond0", "prefsrc": ADDRESS}]))
    recorded.command(root, "getent ahosts node2.example", f"{PEER} STREAM node2.example\n{PEER} DGRAM\n")
    answer = node.ask(root, address=None, **changes)
    assert node.trouble(answer) == []
    assert any(check["code"] == "interface" and ADDRESS in check["message"] for check in answer["checks"])


def test_a_build_for_a_cuda_version_is_the_version(root: Path) -> None:
    assert node.trouble(node.ask(root, engine_version="0.9.0+cu124")) == []


def test_addresses_that_cannot_be_understood_do_not_stop_the_checks(root: Path) -> None:
    recorded.command(root, f"ip -json route get {PEER}", 'Object "-json" is unknown')
    answer = node.ask(root, address=None)
    assert [check["code"] for check in node.trouble(answer) if "the check itself failed" in check["message"]] == [
        "interface"
    ]


def test_a_container_without_its_runtime_goes_by_its_id(root: Path) -> None:
    node.listen(root, 8000)
    node.process(root, 77, "nginx", f"0::/system.slice/docker-{node.CONTAINER}.scope", inode=4242)
    (port,) = [check for check in node.ask(root)["checks"] if check["where"] == "port 8000"]
    assert f"container {node.CONTAINER[:12]}" in port["message"]


def test_a_listener_on_loopback_is_no_obstacle(root: Path) -> None:
    node.listen(root, 8000, address="0100007F")
    assert node.trouble(node.ask(root)) == []


def test_a_reserved_port_is_not_given_to_clients(root: Path) -> None:
    recorded.write(root, "proc/sys/net/ipv4/ip_local_reserved_ports", "39000,40000-40010")
    assert node.trouble(node.ask(root, ports=[{"port": 40005, "purpose": "rendezvous"}])) == []


def test_what_pings_are_filtered_for_is_not_judged(root: Path) -> None:
    recorded.command(root, f"{PING} -s 56 {PEER}", "", rc=1)
    recorded.command(root, f"{PING} -M do -s 1472 {PEER}", "", rc=1)
    assert node.trouble(node.ask(root)) == []


def test_open_modules_need_no_peermem(root: Path) -> None:
    without("sys/module/nvidia_peermem/version")(root, {})
    recorded.write(
        root,
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.183.01  Release Build",
    )
    assert node.trouble(node.ask(root)) == []


def test_other_gpus_than_ours_may_be_busy(root: Path) -> None:
    node.gpus(root, count=8)
    answer = node.ask(root, gpu_count=0, gpu_indexes=[0, 1, 2, 3])
    assert node.trouble(answer) == []
    assert answer["node"]["gpu_count"] == 4


def test_a_deployment_without_gpus_does_not_mind_busy_ones(root: Path) -> None:
    node.gpus(root, product="h200", fabric="Not Started", used_mib=60000, processes=((99, "python", 59990),))
    assert node.trouble(node.ask(root, gpu_count=0, rdma=False)) == []


def test_a_bare_node_of_which_nothing_is_wanted_gives_skips_only(tmp_path: Path) -> None:
    nothing = {name: option.get("default") for name, option in node.OPTIONS.items()}
    answer = run.run(Host(str(tmp_path)), {**nothing, "os_supported": []})
    assert {check["severity"] for check in answer["checks"]} <= {"skipped", "pass"}


def test_a_check_that_stumbles_does_not_stop_the_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_os(host: Host, wanted: dict[str, Any]) -> list[findings.Finding]:
        raise KeyError("unheard of")

    monkeypatch.setattr(run, "SYSTEM", (check_os, *run.SYSTEM[1:]))
    (trouble,) = node.trouble(node.ask(root))
    assert (trouble["code"], trouble["severity"]) == ("os", "warn")
    assert "unheard of" in trouble["message"]


# --- pieces ---


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        ("12.8", ("525.60.13", "570.26")),
        ("12.8.1", ("525.60.13", "570.26")),
        ("13.0", ("580.65.06", "580.65.06")),
        ("12.7", ("525.60.13", None)),
        ("9.0", (None, None)),
        ("", (None, None)),
    ],
)
def test_driver_of_a_cuda_version(cuda: str, expected: tuple[str | None, str | None]) -> None:
    assert nvidia_cuda.required(cuda) == expected


def test_every_toolkit_driver_serves_its_major_release() -> None:
    for cuda, driver in nvidia_cuda.TOOLKIT_DRIVER.items():
        assert numbers(driver) >= numbers(nvidia_cuda.MAJOR_MINIMUM[int(cuda.split(".")[0])])


@pytest.mark.parametrize(
    ("line", "address", "port"),
    [
        ("0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 11", "127.0.0.1", 8080),
        ("0: 00000000:733C 00000000:0000 0A 0:0 0:0 0 0 0 11", "*", 29500),
        ("0: 00000000000000000000000000000000:0016 0:0 0A 0:0 0:0 0 0 0 11", "*", 22),
        ("0: 0000000000000000FFFF00000100007F:0016 0:0 0A 0:0 0:0 0 0 0 11", "127.0.0.1", 22),
        (
            "0: 000080FE00000000FF565002BD69B1FE:0016 0:0 0A 0:0 0:0 0 0 0 11",
            "fe80:0000:0000:0000:0250:56ff:feb1:69bd",
            22,
        ),
    ],
)
def test_listeners(line: str, address: str, port: int) -> None:
    assert listeners.parse_listeners(f"title\n{line}\n") == [listeners.Listener(address, port, "11")]


def test_established_connections_do_not_listen() -> None:
    assert listeners.parse_listeners("0: 0100007F:1F90 0100007F:A2B4 01 0:0 0:0 0 0 0 11") == []


@pytest.mark.parametrize(
    ("text", "unit", "container"),
    [
        ("0::/user.slice/user@1000.service/app.slice/run-7.scope", "run-7.scope", None),
        ("0::/system.slice/fullrank-rank@r1.service", "fullrank-rank@r1.service", None),
        (f"0::/system.slice/docker-{node.CONTAINER}.scope", f"docker-{node.CONTAINER}.scope", node.CONTAINER),
        (
            f"0::/machine.slice/libpod-{node.CONTAINER}.scope/container",
            f"libpod-{node.CONTAINER}.scope",
            node.CONTAINER,
        ),
        (f"4:memory:/x\n1:name=systemd:/docker/{node.CONTAINER}", None, node.CONTAINER),
        # a node of the test ground on a machine with both versions of cgroups
        ("9:name=systemd:/\n8:pids:/\n0::/system.slice/fullrank-rank@tiny.service", "fullrank-rank@tiny.service", None),
        ("0::/", None, None),
        ("", None, None),
    ],
)
def test_unit_and_container_of_a_process(text: str, unit: str | None, container: str | None) -> None:
    assert listeners.parse_cgroup(text) == (unit, container)


def test_acs() -> None:
    def config(*capabilities: tuple[int, int, int, int]) -> bytes:
        space = bytearray(4096)
        for offset, id, following, control in capabilities:
            space[offset : offset + 4] = (id | 1 << 16 | following << 20).to_bytes(4, "little")
            space[offset + 6 : offset + 8] = control.to_bytes(2, "little")
        return bytes(space)

    assert acs_redirects(config((0x100, 0x0D, 0, 0x1D))) is True
    assert acs_redirects(config((0x100, 0x01, 0x140, 0xFF), (0x140, 0x0D, 0, 0x01))) is True
    assert acs_redirects(config((0x100, 0x0D, 0, 0x50))) is False, (
        "upstream forwarding and egress control do not redirect"
    )
    assert acs_redirects(config((0x100, 0x01, 0x100, 0xFF))) is False, "a chain that bites its tail ends"
    assert acs_redirects(bytes(64)) is False, "what one who is not root gets to read"
    assert acs_redirects(b"") is False


@settings(max_examples=60, deadline=None)
@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_any_text_is_survived(text: str, paths: list[str]) -> None:
    listeners.parse_listeners(text)
    listeners.parse_cgroup(text)
    system.parse_df(text, paths)
    system.parse_memlock(text)
    system.parse_capabilities(text)


@settings(max_examples=8, deadline=None)
@given(st.sets(st.sampled_from(sorted(FAULTS)), max_size=6))
def test_any_mix_of_faults_is_answered_check_by_check(names: set[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root, wanted = node.lay_out(Path(folder)), node.wanted()
        for name in sorted(names):
            FAULTS[name][3](root, wanted)
        answer = run.run(Host(folder), wanted)
    json.dumps(answer)
    for check in answer["checks"]:
        assert check["severity"] in findings.SEVERITIES
        assert check["message"] and check["where"]
        assert bool(check["remedy"]) == (check["severity"] in ("fail", "warn"))
        assert "the check itself failed" not in check["message"]


def test_the_module_answers_over_a_recorded_node(root: Path) -> None:
    from module_runner import run_module

    done = run_module("preflight", {"root": str(root), "address": ADDRESS, "_ansible_check_mode": True})
    assert done["changed"] is False
    assert set(done) >= {"checks", "node"}


def test_options_are_documented_as_they_are() -> None:
    import yaml
    from ansible_collections.fullrank.serving.plugins.modules.preflight import DOCUMENTATION

    def same(options: dict[str, Any], documented: dict[str, Any]) -> None:
        assert set(options) == set(documented)
        for name, option in options.items():
            for key in ("type", "elements", "default", "choices", "required"):
                assert option.get(key) == documented[name].get(key), (name, key)
            same(option.get("options", {}), documented[name].get("suboptions", {}))

    same(node.OPTIONS, yaml.safe_load(DOCUMENTATION)["options"])
