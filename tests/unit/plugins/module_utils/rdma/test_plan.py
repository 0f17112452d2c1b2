# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rdma's decisions: facts of recorded nodes → plan and findings. The rows of the field's issues, one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.packages import versions
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import node as rdma_node
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import plan as rdma_plan
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import stack
from rdma_nodes import KERNEL, ROCKY, ROCKY_RELEASE, UBUNTU, recorded_node


def wanted(**changes: Any) -> dict[str, Any]:
    return {
        "source": "inbox",
        "version": "3.2.1",
        "repository_url": "https://mirror.example/doca",
        "repository_key": "https://mirror.example/key",
        "repository_fingerprint": "A" * 40,
        "gpudirect": "auto",
        "migrate_ok": False,
        "module_key_enrolled": False,
        **changes,
    }


@pytest.fixture
def node(tmp_path: Path) -> rdma_node.Node:
    return recorded_node(tmp_path)


def codes(plan: dict[str, Any], status: str = "fail") -> list[str]:
    return [one["code"] for one in plan["findings"] if one["severity"] == status]


def file(plan: dict[str, Any], path: str) -> str | None:
    return next(one.get("content") for one in plan["files"] if one["path"] == path)


def test_a_node_without_cards_is_skipped_with_a_reason(node: rdma_node.Node) -> None:
    plan = rdma_plan.make(replace(node, hcas=[], pci_functions=[]), wanted(source="doca", version=""))
    assert plan["skip"].startswith("no RDMA device")
    assert (plan["packages"], plan["files"], plan["findings"]) == ([], [], [])


def test_cards_are_found_on_the_bus_before_there_is_a_driver(node: rdma_node.Node) -> None:
    assert len(node.pci_functions) >= 8
    assert rdma_plan.make(replace(node, hcas=[]), wanted())["skip"] == ""


# --- the rows of the field, by issue ---

OPEN, PROPRIETARY = "open", "proprietary"
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], str, list[str], list[str]]] = {
    # issue: (facts, wishes) → mechanism, failures, warnings
    "nv_peer_memory #28, #63, #79, #84, #116: dma-buf is preferred": (
        {"driver_kind": OPEN}, {"source": "doca"}, "dma-buf", [], [],
    ),
    "nv_peer_memory #116: proprietary modules need peermem, with OFED's interface": (
        {"driver_kind": PROPRIETARY}, {"source": "doca"}, "peermem", [], [],
    ),
    "nv_peer_memory #79: an inbox ib_core has no such interface": (
        {"driver_kind": PROPRIETARY}, {}, "none", [], ["gpudirect"],
    ),
    "Ubuntu's kernels carry the interface": (
        {"driver_kind": PROPRIETARY, "peer_memory": True}, {}, "peermem", [], [],
    ),
    "an old kernel has no dma-buf for RDMA": (
        {"driver_kind": OPEN, "kernel": "5.10.0-8-amd64", "kernels": ["5.10.0-8-amd64"]}, {"source": "doca"}, "peermem", [], [],
    ),
    "dma-buf that was asked for cannot be had": (
        {"driver_kind": PROPRIETARY}, {"gpudirect": "dma-buf"}, "dma-buf", ["gpudirect"], [],
    ),
    "before the NVIDIA driver nothing is decided": ({"driver_kind": ""}, {}, "none", [], ["gpudirect"]),
    "gds-nvidia-fs #81: not signed under Secure Boot": (
        {"driver_kind": OPEN, "secure_boot": True}, {"source": "doca"}, "dma-buf", ["secure-boot"], [],
    ),
    "gds-nvidia-fs #81: the distribution's are signed": (
        {"driver_kind": OPEN, "secure_boot": True}, {}, "dma-buf", [], [],
    ),
    "stackhpc: the running kernel must be the newest installed": (
        {"driver_kind": OPEN, "kernels": [KERNEL, "5.15.0-131-generic"]}, {"source": "doca"}, "dma-buf", ["kernel-newest"], [],
    ),
    "a kernel that an update brought is no failure where the stack is there": (
        {"driver_kind": OPEN, "kernels": [KERNEL, "5.15.0-131-generic"], "stack": stack.Installed("doca", "25.07")},
        {"source": "doca"}, "dma-buf", [], ["kernel-newest"],
    ),
    "ansible-role-nvidia-driver #18: headers of the running kernel": (
        {"driver_kind": OPEN, "headers": False}, {"source": "mlnx_ofed"}, "dma-buf", ["kernel-headers"], [],
    ),
    "azhpc: the distribution's rdma-core is held": (
        {"driver_kind": OPEN, "held": {"rdma-core"}}, {"source": "doca"}, "dma-buf", ["package-conflict"], [],
    ),
    "azhpc: mft from the CUDA repository": (
        {"driver_kind": OPEN, "packages": {"mft": "4.33"}}, {"source": "doca"}, "dma-buf", [], ["package-conflict"],
    ),
    "azhpc: dkms of the distribution": (
        {"driver_kind": OPEN, "held": {"dkms"}}, {"source": "doca"}, "dma-buf", ["package-conflict"], [],
    ),
    "azhpc: openmpi and pmix": (
        {"driver_kind": OPEN, "packages": {"openmpi-bin": "4"}}, {"source": "doca"}, "dma-buf", [], ["package-conflict"],
    ),
    "Ubuntu 26.04: its own doca-ofed": (
        {"driver_kind": OPEN, "packages": {"doca-ofed-generic": "1"}}, {"source": "doca"}, "dma-buf", ["package-conflict"], [],
    ),
    "MLNX_OFED is not removed without a word": (
        {"driver_kind": OPEN, "stack": stack.Installed("mlnx_ofed", "5.8"), "uninstaller": "/usr/sbin/ofed_uninstall.sh"},
        {"source": "doca"}, "dma-buf", ["stack-migration"], [],
    ),
    "and not without its own script": (
        {"driver_kind": OPEN, "stack": stack.Installed("mlnx_ofed", "5.8")},
        {"source": "doca", "migrate_ok": True}, "dma-buf", ["stack-mixed"], [],
    ),
    "two stacks are never mixed": (
        {"driver_kind": OPEN, "stack": stack.Installed("doca", "25.07")}, {"source": "inbox"}, "dma-buf", ["stack-mixed"], [],
    ),
    "a limit that would lock out every login": (
        {"driver_kind": OPEN, "memlock_raisable": False}, {}, "dma-buf", [], ["memlock-capped"],
    ),
    "no version, no glob": ({"driver_kind": OPEN}, {"source": "doca", "version": ""}, "dma-buf", ["version"], []),
    "a key that was not looked at": (
        {"driver_kind": OPEN}, {"source": "mlnx_ofed", "repository_fingerprint": ""}, "dma-buf", ["repository-key"], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("issue", ROWS)
def test_what_goes_wrong_in_the_field(issue: str, node: rdma_node.Node) -> None:
    facts, wishes, mechanism, failures, warnings = ROWS[issue]
    plan = rdma_plan.make(replace(node, **facts), wanted(**wishes))
    assert (plan["gpudirect"], codes(plan), codes(plan, "warn")) == (mechanism, failures, warnings)
    assert all(one["remedy"] for one in plan["findings"])


# --- what is written and installed ---


def test_memlock_in_the_two_places_of_a_node(node: rdma_node.Node) -> None:
    plan = rdma_plan.make(node, wanted())
    assert file(plan, stack.LIMITS_FILE) == (
        "* soft memlock unlimited\n* hard memlock unlimited\nroot soft memlock unlimited\nroot hard memlock unlimited\n"
    )
    assert file(plan, stack.SYSTEM_FILE) == "[Manager]\nDefaultLimitMEMLOCK=infinity\n"
    capped = rdma_plan.make(replace(node, memlock_raisable=False), wanted())
    assert {"path": stack.LIMITS_FILE, "state": "absent"} in capped["files"]


def test_peermem_is_loaded_by_two_ways_and_built_after_ofed(node: rdma_node.Node) -> None:
    plan = rdma_plan.make(replace(node, dkms_nvidia=[("nvidia", "570.86.15")]), wanted(source="doca"))
    assert plan["modules"][-1] == "nvidia_peermem"
    assert "nvidia_peermem\n" in (file(plan, stack.MODULES_FILE) or "")
    assert "ExecStartPost=-/sbin/modprobe nvidia-peermem" in (file(plan, stack.OPENIBD_FILE) or "")
    assert [words[1] for words in plan["rebuild_nvidia"]] == ["build", "install"]
    assert all(words[-1] == KERNEL for words in plan["rebuild_nvidia"])


def test_modules_that_dkms_keeps(tmp_path: Path) -> None:
    for path in (
        "nvidia-current/550.163.01/source",
        "nvidia-current/kernel-6.12-x86_64",
        "nvidia/580.95.05/source",
        "zfs/2/x",
    ):
        recorded.write(tmp_path, f"var/lib/dkms/{path}", "")
    found = rdma_node.dkms_modules(Host(str(tmp_path)))
    assert sorted(found) == [("nvidia", "580.95.05"), ("nvidia-current", "550.163.01")]


def test_dma_buf_loads_nothing_and_forgets_peermem(node: rdma_node.Node) -> None:
    plan = rdma_plan.make(replace(node, driver_kind=OPEN), wanted(source="doca"))
    assert "nvidia_peermem" not in plan["modules"]
    assert {"path": stack.OPENIBD_FILE, "state": "absent"} in plan["files"]


def test_the_way_from_mlnx_ofed_to_doca(node: rdma_node.Node) -> None:
    there = replace(
        node,
        driver_kind=OPEN,
        stack=stack.Installed("mlnx_ofed", "24.10-1.1.4.0"),
        uninstaller="/usr/sbin/ofed_uninstall.sh",
        held={"mlnx-ofed-all"},
    )
    plan = rdma_plan.make(there, wanted(source="doca", migrate_ok=True))
    assert plan["uninstall"] == [["apt-mark", "unhold", "mlnx-ofed-all"], ["/usr/sbin/ofed_uninstall.sh", "--force"]]
    assert codes(plan) == []
    plan = rdma_plan.make(replace(there, release=ROCKY_RELEASE), wanted(source="doca", migrate_ok=True))
    assert plan["uninstall"][0] == ["dnf", "versionlock", "delete", "mlnx-ofed-all"]


def test_what_dnf_has_locked_is_held(node: rdma_node.Node, tmp_path: Path) -> None:
    """The file of dnf's versionlock plugin; rpm's answer in the form that is asked for."""
    recorded.write(tmp_path, "etc/os-release", ROCKY)
    recorded.write(
        tmp_path,
        "etc/dnf/plugins/versionlock.list",
        "# Added lock\nrdma-core-0:51.0-1.el9.*\nkernel-0:5.14.0-1.el9.*\n",
    )
    host = Host(str(tmp_path))
    assert rdma_node.collect(host, host).held == {"rdma-core"}


def test_systemd_is_not_reloaded_under_a_running_rank(node: rdma_node.Node) -> None:
    assert rdma_plan.make(node, wanted())["reload_ok"] is True
    assert rdma_plan.make(replace(node, engines=["fullrank-rank@r1.service"]), wanted())["reload_ok"] is False


def test_a_reboot_is_needed_while_another_driver_is_loaded(node: rdma_node.Node) -> None:
    assert rdma_plan.reboot_reason(replace(node, srcversions=("A", "A"))) == ""
    assert rdma_plan.reboot_reason(replace(node, srcversions=("", "A"))) == ""
    assert "A is loaded, B is installed" in rdma_plan.reboot_reason(replace(node, srcversions=("A", "B")))


@pytest.mark.parametrize(
    ("release", "machine", "source", "version", "url"),
    [
        (UBUNTU, "x86_64", "doca", "3.2.1", "3.2.1/ubuntu24.04/x86_64/"),
        (UBUNTU, "aarch64", "doca", "3.2.1", "3.2.1/ubuntu24.04/arm64-sbsa/"),
        (UBUNTU.replace("24", "22"), "x86_64", "mlnx_ofed", "24.10-1.1.4.0", "24.10-1.1.4.0/ubuntu22.04/x86_64/"),
        ("ID=debian\nVERSION_ID=12\n", "x86_64", "doca", "3.2.1", "3.2.1/debian12/x86_64/"),
        (ROCKY, "x86_64", "doca", "3.2.1", "3.2.1/rhel9/x86_64/"),
        (ROCKY, "aarch64", "mlnx_ofed", "24.10-1.1.4.0", "24.10-1.1.4.0/rhel9/aarch64/"),
    ],
)
def test_the_folder_of_a_release(release: str, machine: str, source: str, version: str, url: str) -> None:
    parsed = dict(line.replace('"', "").split("=") for line in release.splitlines())
    assert stack.repository_url("https://m", source, version, parsed, machine) == f"https://m/{url}"
    assert stack.repository_url("https://m/own/", source, version, parsed, machine) == "https://m/own/"


def test_names_of_packages(node: rdma_node.Node) -> None:
    ubuntu = rdma_plan.make(node, wanted())["packages"]
    assert [one["names"][0] for one in ubuntu] == [
        "rdma-core", "ibverbs-providers", "librdmacm1t64", "ibverbs-utils", "infiniband-diags", "perftest",
    ]  # fmt: skip
    assert ubuntu[2]["names"] == ["librdmacm1t64", "librdmacm1"], "Ubuntu 24.04 and Debian 13, and the ones before"
    names = [one["names"][0] for one in rdma_plan.make(replace(node, release=ROCKY_RELEASE), wanted())["packages"]]
    assert names == ["rdma-core", "libibverbs", "librdmacm", "libibverbs-utils", "infiniband-diags", "perftest"]
    leader = rdma_plan.make(node, wanted(source="doca"))["packages"][0]
    assert (leader["names"], leader["hold"]) == (["doca-ofed"], True)


def test_the_repository_and_the_number_of_its_release(node: rdma_node.Node) -> None:
    plan = rdma_plan.make(node, wanted(source="doca"))
    assert plan["repository"] == {
        "name": "fullrank-rdma",
        "url": "https://mirror.example/doca/3.2.1/ubuntu24.04/x86_64/",
        "key_url": "https://mirror.example/key",
        "fingerprint": "A" * 40,
    }
    assert rdma_plan.make(node, wanted())["repository"] == {}, "the distribution's needs none"
    assert plan["packages"][0]["version"] == "3.2.1", "another number is another release, and is installed"
    aliased = rdma_plan.make(node, wanted(source="doca", version="latest-2.9-LTS"))
    assert aliased["packages"][0]["version"] == ""


# `dnf install doca-ofed` on RHEL 9 and a file of MLNX_OFED's repository, both shown in public
@pytest.mark.parametrize(
    ("row", "source", "release"),
    [
        ("doca-ofed|0:3.1.0-091000|x86_64|doca", "doca", "3.1.0"),
        ("mlnx-ofed-all|0:24.10-1.1.4.0|noarch|mlnx", "mlnx_ofed", "24.10-1.1.4.0"),
    ],
)
def test_the_number_of_a_release_is_found(row: str, source: str, release: str) -> None:
    leader = stack.packages(source, "redhat", release)[0]
    chosen, problems = versions.resolve(
        versions.parse_repoquery(row), leader["names"], leader["version"], "rdma_version"
    )
    assert problems == [] and chosen is not None


def test_another_distribution_is_refused(node: rdma_node.Node) -> None:
    assert codes(rdma_plan.make(replace(node, release={"ID": "plan9"}), wanted())) == ["os"]


def test_settings_that_win_over_ours(node: rdma_node.Node) -> None:
    theirs = {
        "/etc/security/limits.d/95-site.conf": "* hard memlock 64\n",
        "/etc/security/limits.d/10-x.conf": "* - memlock 1\n",
    }
    confs = {"/etc/systemd/system.conf.d/95.conf": "[Manager]\nDefaultLimitMEMLOCK=infinity\n"}
    plan = rdma_plan.make(replace(node, driver_kind=OPEN, limits=theirs, system_confs=confs), wanted())
    (found,) = plan["findings"]
    assert (found["code"], found["where"]) == ("memlock-overridden", "/etc/security/limits.d/95-site.conf")
