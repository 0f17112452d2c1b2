# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a driver. ``FIELD`` names for each complaint of the field the issue and what answers it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import installed as nvidia_installed
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import packages
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import plan as nvidia_plan
from ansible_collections.fullrank.serving.plugins.module_utils.packages import sources as packages_sources
from nvidia_nodes import (
    B200,
    DEBIAN,
    GB200,
    GH200,
    H20,
    L40S,
    ROCKY,
    UBUNTU,
    V100,
    codes,
    facts,
    installed_580,
    names,
    plan,
    settled,
)

# --- nodes.md, "Driver": issue → facts → what is in the plan


def headers_missing() -> None:
    (entry,) = [one for one in plan(facts())["packages"] if one["names"] == ["linux-headers-6.8.0-85-generic"]]
    targets = settled([entry], "ubuntu-noble.madison")
    assert "the archive no longer has linux-headers-6.8.0-85-generic" in targets.problems[0]["remedy"]
    assert "kernel-devel-6.8.0-85-generic" in names(plan(facts(ROCKY)))
    assert not any("headers" in name for name in names(plan(facts(headers=True))))


def no_branch_is_hard_coded() -> None:
    targets = settled(plan(facts(), version="510")["packages"][2:3], "cuda-ubuntu2204-575-580.madison")
    assert targets.problems[0]["where"] == "nvidia_driver_version"
    assert plan(facts(ROCKY), version="575")["module_commands"][1][-1] == "nvidia-driver:575-open"
    assert plan(facts(ROCKY, (V100,)), version="580")["module_commands"][1][-1] == "nvidia-driver:580-dkms"
    there = {"nvidia-open": "3:580.95.05-1.el9"}
    assert plan(facts(ROCKY, packages=there), version="580.105.08")["module_commands"] == []
    assert plan(facts(ROCKY, packages=there), version="590")["module_commands"][0][-2:] == ["reset", "nvidia-driver"]


def branch_is_changed_in_one_step() -> None:
    old = {"nvidia-open-575": "575.57.08-0ubuntu1", "nvidia-fabricmanager-575": "575.57.08-1"}
    targets = settled(
        plan(facts(headers=True), version="580.105.08")["packages"], "cuda-ubuntu2204-575-580.madison", old
    )
    assert targets.problems == []
    assert targets.first == ["nvidia-driver-pinning-580"], "the pin goes before the driver"
    assert targets.versions["nvidia-open-580"] == "580.105.08-0ubuntu1"
    assert targets.versions["nvidia-fabricmanager"] == "580.105.08-1"


def old_key_and_list_go() -> None:
    older = "deb https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/ /\n"
    keys = ["/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d/cuda.gpg"]
    found = plan(facts(old_keys=keys))
    gone = [one["path"] for one in found["files"] if one.get("state") == "absent"]
    assert gone == ["/etc/apt/trusted.gpg.d/cuda.gpg"]
    aliases = found["repository"]["aliases"]
    assert "" in [packages_sources.without(older, "cuda.list", alias) for alias in aliases], (
        "also where ours is a mirror"
    )
    assert codes(found) == ["old-key"], "a keyring with other people's keys is theirs"


def loaded_differs_from_installed() -> None:
    node = installed_580(loaded={"version": "570.86.15", "kind": "open"})
    assert plan(node)["reboot_reasons"] == ["the kernel has driver 570.86.15 loaded, and 580.95.05 is installed"]
    assert plan(installed_580(loaded={"version": "580.95.05", "kind": "open"}))["reboot_reasons"] == []
    assert plan(installed_580(nouveau_loaded=True))["reboot_reasons"] == [
        "nouveau drives the GPUs, and driver 580.95.05 is installed"
    ]
    (text,) = [
        one["content"] for one in plan(facts(), not_unattended=("nvidia-",))["files"] if "apt.conf.d" in one["path"]
    ]
    assert text == 'Unattended-Upgrade::Package-Blacklist {\n  "nvidia-";\n};\n'


def branch_580_stays_580() -> None:
    targets = settled(plan(facts(headers=True), version="580")["packages"], "cuda-ubuntu2204-575-580.madison")
    assert targets.versions["nvidia-open-580"] == "580.105.08-0ubuntu1"
    assert "590" not in str(targets.versions)
    stay = {"nvidia-open-580": "580.95.05-0ubuntu1", "nvidia-fabricmanager": "580.95.05-1"}
    assert settled(plan(facts(headers=True), version="580")["packages"], "ubuntu-noble.madison", stay).versions == stay


def fabric_manager_has_the_drivers_version() -> None:
    # 580.95.05 of the driver is offered, and of the Fabric Manager only other versions: nothing is installed
    targets = settled(plan(facts(headers=True))["packages"], "cuda-ubuntu2204-575-580.madison")
    (problem,) = targets.problems
    assert "no nvidia-fabricmanager or nvidia-fabricmanager-580 of version 580.95.05" in problem["message"]
    targets = settled(plan(facts(headers=True), version="575")["packages"], "cuda-ubuntu2204-575-580.madison")
    assert targets.versions == {"nvidia-open-575": "575.57.08-0ubuntu1", "nvidia-fabricmanager-575": "575.57.08-1"}


def fabric_manager_is_enabled() -> None:
    assert plan(facts())["services_to_enable"] == ["nvidia-persistenced", "nvidia-fabricmanager"]
    works = {"nvidia-fabricmanager": {"enabled": True, "active": True}}
    assert plan(facts(services=works))["services_to_enable"] == ["nvidia-persistenced"]


def blackwell_needs_the_subnet_manager() -> None:
    found = plan(facts(gpus=(B200,) * 8))
    assert found["fabric"] == "nvlink5"
    assert {"nvlsm", "libnvsdm", "nvidia-fabricmanager", "linux-modules-extra-6.8.0-85-generic"} <= set(names(found))
    assert {"path": "/etc/modules-load.d/fullrank-nvlink.conf", "content": "ib_umad\nmlx5_ib\n"} in found["files"]
    assert codes(plan(facts(gpus=(B200,), subnet_managers=[]))) == ["fabric"]


def pcie_cards_need_no_fabric_manager() -> None:
    found = plan(facts(gpus=(L40S,) * 4))
    assert found["fabric"] == "none" and not [name for name in names(found) if "fabric" in name]


def hardware_decides_and_dkms_is_new_enough() -> None:
    assert plan(facts(gpus=(0x2335,) * 8, nvswitches=4))["fabric"] == "nvswitch", "H200: no flag to forget"
    (dkms,) = [one for one in plan(facts(ROCKY))["packages"] if one["names"] == ["dkms"]]
    assert dkms["at_least"] == "3.1.8"


def modules_under_secure_boot() -> None:
    assert codes(plan(facts(secure_boot=True))) == ["secure-boot"]
    for passes in (
        plan(facts(secure_boot=True), key_enrolled=True),
        plan(facts(secure_boot=True), source="distribution"),
    ):
        assert codes(passes) == []
    assert codes(plan(facts(DEBIAN, secure_boot=True), source="distribution")) == ["secure-boot"], (
        "Debian builds them here"
    )


FIELD = {
    "ansible-role-nvidia-driver 18, 20; kubespray 5605": headers_missing,
    "ansible-role-nvidia-driver 60, 72, 75": no_branch_is_hard_coded,
    "ansible-role-nvidia-driver PR 11": branch_is_changed_in_one_step,
    "deepops 480, PR 1167, PR 1292": old_key_and_list_go,
    "deepops 1186; pando85/homelab 4110": loaded_differs_from_installed,
    "NVIDIA forum 353805": branch_580_stays_580,
    "siderolabs/pkgs 720; gpu-operator 544; gpu-driver-container 735": fabric_manager_has_the_drivers_version,
    "azhpc PR 365; dstack 2348": fabric_manager_is_enabled,
    "gpu-operator 2781; siderolabs/extensions 717": blackwell_needs_the_subnet_manager,
    "cube-studio 29": pcie_cards_need_no_fabric_manager,
    "stackhpc slurm-appliance 315, 836, 703": hardware_decides_and_dkms_is_new_enough,
    "gds-nvidia-fs 81": modules_under_secure_boot,
}


@pytest.mark.parametrize("issue", FIELD)
def test_complaints_of_the_field(issue: str) -> None:
    FIELD[issue]()


def test_what_a_driver_does_not_drive_is_refused() -> None:
    assert codes(plan(facts(gpus=(V100,)), version="590")) == ["driver-branch"]
    assert codes(plan(facts(gpus=(B200,)), version="535.230.02")) == ["driver-branch"]
    assert codes(plan(facts(gpus=(B200,)), modules="proprietary")) == ["kernel-modules"]
    assert codes(plan(facts(gpus=(V100,)), modules="open")) == ["kernel-modules"]
    assert codes(plan(facts(), version="new")) == ["driver-version"]


def test_racks_exchange_memory_by_imex() -> None:
    found = plan(facts(gpus=(GB200,) * 4), imex_nodes=("10.0.0.1", "10.0.0.2"))
    assert found["fabric"] == "nvl72" and found["services_to_enable"] == ["nvidia-persistenced", "nvidia-imex"]
    assert codes(found) == []
    assert ["nvidia-imex", "nvidia-imex-580"] in [one["names"] for one in found["packages"]]
    assert [one["content"] for one in found["files"] if one["path"].endswith("imex.conf")] == [
        "options nvidia NVreg_CreateImexChannel0=1\n"
    ]
    entry = packages.entry(packages.either("nvidia-imex", "570"), "570")
    assert settled([entry], "ubuntu-noble.madison").versions == {"nvidia-imex-570": "570.211.01-0ubuntu1.24.04.1"}


def test_imex_does_not_start_without_its_list_of_nodes() -> None:
    alone = plan(facts(gpus=(GB200,) * 4))
    assert alone["services_to_enable"] == ["nvidia-persistenced"] and codes(alone) == ["imex-nodes"]
    somebody_elses = plan(facts(gpus=(GB200,) * 4, imex_nodes=["10.0.0.1"]))
    assert "nvidia-imex" in somebody_elses["services_to_enable"] and codes(somebody_elses) == []


# --- ways


def test_a_node_without_gpus_is_skipped_with_a_reason() -> None:
    found = plan(facts(gpus=(), secure_boot=True))
    assert (found["skip"], found["findings"]) == ("there is no NVIDIA GPU on the PCI bus", [])


@pytest.mark.parametrize(
    ("there", "source", "mixed"),
    [
        ({"runfile_version": "535.230.02"}, "runfile", ["repository", "distribution"]),
        ({"packages": {"nvidia-open-580": "580.95.05-1"}}, "repository", ["distribution", "runfile"]),
        ({"packages": {"cuda-drivers": "550.54.14-1"}}, "repository", ["distribution"]),
        (
            {"packages": {"nvidia-driver": "550.163.01-2", "nvidia-kernel-dkms": "550.163.01-2"}},
            "distribution",
            ["repository"],
        ),
        ({"packages": {"nvidia-headless-no-dkms-570-server": "570.211.01-0ubuntu1"}}, "distribution", ["runfile"]),
        (
            {"packages": {"nvidia-open": "590.44.01-1"}, "runfile_version": "535.230.02"},
            "mixed",
            ["repository", "runfile"],
        ),
    ],
)
def test_sources_are_never_mixed(there: dict[str, Any], source: str, mixed: list[str]) -> None:
    assert nvidia_installed.installed_source(facts(**there)) == source
    for other in mixed:
        assert "driver-source" in codes(plan(facts(**there), source=other, version="570.211.01"))


def test_a_run_file_as_in_the_field_notes() -> None:
    run = {"source": "runfile", "runfile_sha256": "0" * 64}
    found = plan(facts(gpus=(H20,) * 8), version="535.230.02", **run)
    assert found["runfile_arguments"] == ["--silent", "--dkms", "-m=kernel-open"]
    assert {"gcc", "make", "libc6-dev", "dkms", "nvidia-fabricmanager-535"} <= set(names(found))
    assert found["repository"]["url"] == "https://m/cuda/ubuntu2404/x86_64", "for the Fabric Manager"
    assert plan(facts(gpus=(L40S,)), version="580.95.05", **run)["repository"] == {}
    assert plan(facts(), version="580.95.05", **run)["runfile_arguments"][2] == "--kernel-module-type=open"
    assert {"gcc", "make", "glibc-devel", "dkms"} <= set(names(plan(facts(ROCKY), version="580.95.05", **run)))
    assert codes(plan(facts(), version="580", **run)) == ["driver-version"]
    assert codes(plan(facts(), version="580.95.05", source="runfile")) == ["runfile-sha256"]
    # what must not come along with a Fabric Manager: the same driver a second time
    refused = [
        name
        for name in ("nvidia-driver-580-open", "libcuda1", "nvidia-fabricmanager", "libnvidia-nscq-580", "nvlsm")
        if re.search(found["refused"], name)
    ]
    assert refused == ["nvidia-driver-580-open", "libcuda1"]


def test_the_run_file_brings_no_unit_of_its_daemon() -> None:
    (unit,) = [
        one["content"]
        for one in plan(facts(), source="runfile", version="535.230.02")["files"]
        if one["path"] == "/etc/systemd/system/nvidia-persistenced.service"
    ]
    assert "ExecStart=/usr/bin/nvidia-persistenced\n" in unit
    assert nvidia_plan.PERSISTENCED not in [one["path"] for one in plan(facts())["files"]]


@pytest.mark.parametrize("source", ["repository", "distribution", "runfile"])
def test_persistence_mode_is_on_where_the_daemon_is_started_without(source: str) -> None:
    """Packages for Ubuntu start nvidia-persistenced with --no-persistence-mode."""
    (drop_in,) = [one for one in plan(facts(), source=source)["files"] if one["path"] == nvidia_plan.PERSISTENCE_MODE]
    assert drop_in["content"] == "[Service]\nExecStartPost=-/usr/bin/nvidia-smi --persistence-mode=1\n"


@pytest.mark.parametrize(
    ("installed", "wanted", "swaps"),
    [
        ("580.95.05-1", "580.95.05", False),
        ("580.95.05-1", "580", False),
        ("580.95.05-1", "580.105.08", True),
        ("580.95.05-1", "58", True),
        (None, "580", False),
    ],
)
def test_a_driver_that_would_be_swapped(installed: str | None, wanted: str, swaps: bool) -> None:
    there = {"nvidia-open-580": installed} if installed else {}
    assert plan(facts(packages=there), version=wanted)["swaps"] is swaps


def test_ubuntus_own_packages_come_with_signed_modules() -> None:
    found = plan(facts(), source="distribution", version="570")
    assert "nvidia-headless-no-dkms-570-server-open" in names(found)
    assert "linux-modules-nvidia-570-server-open-6.8.0-85-generic" in names(found)
    assert "linux-modules-nvidia-570-server-open-generic" in names(found)
    assert not any(name.startswith("linux-headers") for name in names(found))


def test_debians_own_packages_are_in_non_free_at_the_address_of_main() -> None:
    row = {"uri": "http://m/debian/", "suite": "trixie", "signed_by": "/k.gpg"}
    found = plan(facts(DEBIAN, archive=[{**row, "component": "main"}]), source="distribution", version="550")
    assert names(found)[1:3] == ["nvidia-driver", "nvidia-kernel-dkms"]
    components = "contrib non-free non-free-firmware"
    text = f"Types: deb\nURIs: http://m/debian/\nSuites: trixie\nComponents: {components}\nSigned-By: /k.gpg\n"
    assert [one["content"] for one in found["files"] if one["path"] == nvidia_plan.ARCHIVE_SOURCE] == [text]
    # NVIDIA's own packages need contrib there
    by_vendor = plan(facts(DEBIAN, archive=[{**row, "component": "main"}]))
    assert [one["content"] for one in by_vendor["files"] if one["path"] == nvidia_plan.ARCHIVE_SOURCE] == [
        text.replace(components, "contrib")
    ]
    have = [{**row, "component": name} for name in ("main", "contrib", "non-free", "non-free-firmware")]
    complete = plan(facts(DEBIAN, archive=have), source="distribution")["files"]
    assert nvidia_plan.ARCHIVE_SOURCE not in [one["path"] for one in complete]
    # the driver's fixes come by the security suite, whose main the node has
    security = {"uri": "http://m/debian-security", "suite": "trixie-security", "signed_by": "", "component": "main"}
    fixed = plan(facts(DEBIAN, archive=[*have, security]), source="distribution")["files"]
    assert [one["content"] for one in fixed if one["path"] == nvidia_plan.ARCHIVE_SOURCE] == [
        f"Types: deb\nURIs: http://m/debian-security\nSuites: trixie-security\nComponents: {components}\n"
    ]
    both = plan(facts(DEBIAN, archive=[have[0], security]), source="distribution")["files"]
    assert [one["content"].count("Types:") for one in both if one["path"] == nvidia_plan.ARCHIVE_SOURCE] == [2]


def test_debians_own_modules_are_the_proprietary_ones_where_the_gpus_leave_the_choice() -> None:
    """Decision 047."""

    def built(source: str = "distribution", modules: str = "auto", **node: Any) -> str:
        return str(
            plan(facts(**{"os": DEBIAN, "gpus": (L40S,), **node}), source=source, modules=modules)["kernel_modules"]
        )

    assert built() == "proprietary"
    assert built(gpus=(GH200,)) == "open"
    assert built(modules="open") == "open"
    assert built(packages={"nvidia-open-kernel-dkms": "535.261.03-1"}) == "open", "what is there stays"
    assert built("repository") == built("runfile") == built(os=UBUNTU) == "open"


def test_debians_driver_beside_nvidias_archive_is_refused() -> None:
    """Both call it nvidia-driver."""
    url = "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/"
    for text, found in ((f"deb {url} /", ["driver-sources"]), (f"# deb {url} /", [])):
        sources = [{"path": "/etc/apt/sources.list.d/cuda.list", "text": text}]
        assert codes(plan(facts(DEBIAN, sources=sources), source="distribution", version="550")) == found
    assert codes(plan(facts(ROCKY), source="distribution")) == ["driver-source"], "RHEL has none"


@pytest.mark.parametrize(
    ("os", "machine", "path", "key"),
    [
        (UBUNTU, "x86_64", "ubuntu2404/x86_64", "3bf863cc.pub"),
        (UBUNTU, "aarch64", "ubuntu2404/sbsa", "3bf863cc.pub"),
        ({**DEBIAN, "version": "12"}, "x86_64", "debian12/x86_64", "3bf863cc.pub"),
        (DEBIAN, "x86_64", "debian13/x86_64", "8793F200.pub"),
        (ROCKY, "x86_64", "rhel9/x86_64", "D42D0685.pub"),
    ],
)
def test_the_repository_of_a_distribution(os: dict[str, str], machine: str, path: str, key: str) -> None:
    found = plan(facts(os, architecture=machine))["repository"]
    assert (found["url"], found["key_url"]) == (f"https://m/cuda/{path}", f"https://m/cuda/{path}/{key}")
    assert found["fingerprint"].endswith(key.removesuffix(".pub").upper())
    own = plan(facts(os, architecture=machine), key="site.asc", fingerprint="F" * 40)["repository"]
    assert own["key_url"].endswith("/site.asc") and own["fingerprint"] == "F" * 40


def test_dnf_gets_the_epoch() -> None:
    entries = [
        packages.entry(["nvidia-driver"], "595.58.03"),
        packages.entry(["kmod-nvidia-open-dkms"], "same"),
    ]
    targets = settled(entries, "cuda-rhel9.repoquery")
    assert targets.versions == {"nvidia-driver": "3:595.58.03-1.el9", "kmod-nvidia-open-dkms": "3:595.58.03-1.el9"}


def test_a_fabric_manager_of_ubuntu_2204_in_its_newest_535() -> None:
    entry = packages.entry(["cuda-drivers-fabricmanager"], "535")
    assert settled([entry], "cuda-ubuntu2204-fabricmanager.madison").versions == {
        "cuda-drivers-fabricmanager": "535.161.07-1"
    }
