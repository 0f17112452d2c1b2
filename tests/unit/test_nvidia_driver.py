"""From facts to the plan of a driver. ``FIELD`` names for each complaint of the field the issue and what answers it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils import (
    nvidia_boards,
    nvidia_driver,
    nvidia_node,
    package_plan,
    packages,
)
from ansible_collections.fullrank.serving.plugins.module_utils.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standins"))
import nvidia_vendor
import recorded

LISTINGS = Path(__file__).parent / "data/repositories"
UBUNTU = {"id": "ubuntu", "version": "24.04", "codename": "noble", "family": "debian"}
DEBIAN = {"id": "debian", "version": "13", "codename": "trixie", "family": "debian"}
ROCKY = {"id": "rocky", "version": "9.6", "codename": "", "family": "redhat"}
H100, H20, L40S, B200, GB200, V100, T4, GH200 = 0x2330, 0x2329, 0x26B9, 0x2901, 0x2941, 0x1DB1, 0x1EB8, 0x2342


def facts(os: dict[str, str] = UBUNTU, gpus: tuple[int, ...] = (H100,) * 8, **more: Any) -> dict[str, Any]:
    """A node without a driver; NVSwitches where the boards have them."""
    return {
        "os": os,
        "architecture": "x86_64",
        "kernel": "6.8.0-85-generic",
        "headers": False,
        "gpus": {f"0000:{0x10 + index:02x}:00.0": gpu for index, gpu in enumerate(gpus)},
        "nvswitches": 4 if gpus and gpus[0] in (H100, H20) else 0,
        "subnet_managers": ["0000:90:00.0"] if gpus and gpus[0] == B200 else [],
        "secure_boot": False,
        "nouveau_loaded": False,
        "loaded": {"version": None, "kind": None},
        "packages": {},
        "runfile_version": None,
        "sources": [],
        "archive": [],
        "old_keys": [],
        "services": {},
        "initramfs": [],
        **more,
    }


def plan(node: dict[str, Any], **more: Any) -> dict[str, Any]:
    wanted = {"way": "repository", "version": "580.95.05", "repositories": "https://m/cuda", **more}
    return nvidia_driver.plan(node, nvidia_driver.Wanted(**wanted))


def names(found: dict[str, Any]) -> list[str]:
    return [name for one in found["packages"] for name in one["names"]]


def codes(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in found["findings"]]


def complete(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the defaults that the module's option table fills in."""
    defaults = {"remedy": "", "hold": True, "first": False, "optional": False, "at_least": "", "where": "packages"}
    return [{**defaults, **one} for one in entries]


def settled(
    entries: list[dict[str, Any]], listing: str, installed: dict[str, str] | None = None
) -> package_plan.Targets:
    text = (LISTINGS / listing).read_text()
    rows = packages.parse_repoquery(text) if listing.endswith("query") else packages.parse_madison(text)
    return package_plan.settle(complete(entries), installed or {}, lambda _: rows, upgrade=False)


def installed_580(**more: Any) -> dict[str, Any]:
    return facts(packages={"nvidia-open-580": "580.95.05-1", "nvidia-driver-pinning-580": "580-1"}, **more)


# --- nodes.md, "Driver": issue → facts → what the plan says


def headers_missing() -> None:
    (entry,) = [one for one in plan(facts())["packages"] if one["names"] == ["linux-headers-6.8.0-85-generic"]]
    targets = settled([entry], "ubuntu-noble.madison")
    assert "the archive no longer has linux-headers-6.8.0-85-generic" in targets.problems[0]["remedy"]
    assert "kernel-devel-6.8.0-85-generic" in names(plan(facts(ROCKY)))
    assert not any("headers" in name for name in names(plan(facts(headers=True))))


def no_branch_is_hard_coded() -> None:
    targets = settled(plan(facts(), version="510")["packages"][2:3], "cuda-ubuntu2204-575-580.madison")
    assert targets.problems[0]["where"] == "nvidia_driver_version"
    assert plan(facts(ROCKY), version="575")["module_stream"] == "575-open"
    assert plan(facts(ROCKY, (V100,)), version="580")["module_stream"] == "580-dkms"


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
    url = "deb https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/ /"
    sources = [{"path": "/etc/apt/sources.list.d/cuda.list", "text": url}]
    keys = ["/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d/cuda.gpg"]
    found = plan(facts(sources=sources, old_keys=keys))
    gone = [one["path"] for one in found["files"] if one.get("state") == "absent"]
    assert gone == ["/etc/apt/sources.list.d/cuda.list", "/etc/apt/trusted.gpg.d/cuda.gpg"]
    assert codes(found) == ["old-key"], "a keyring with other people's keys is theirs"
    commented = [{"path": "/etc/apt/sources.list.d/cuda.list", "text": "# " + url}]
    assert not [one for one in plan(facts(sources=commented))["files"] if one.get("state") == "absent"]


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
    for passes in (plan(facts(secure_boot=True), key_enrolled=True), plan(facts(secure_boot=True), way="distribution")):
        assert codes(passes) == []
    assert codes(plan(facts(DEBIAN, secure_boot=True), way="distribution")) == ["secure-boot"], (
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


# --- boards


@pytest.mark.parametrize(
    ("gpu", "generation", "modules"),
    [
        (V100, "Volta", "proprietary"),
        (0x15F8, "Pascal", "proprietary"),
        (T4, "Turing", "open"),
        (0x2182, "Turing", "open"),
        (0x20B2, "Ampere", "open"),
        (0x2236, "Ampere", "open"),
        (H100, "Hopper", "open"),
        (GH200, "Grace Hopper", "open"),
        (L40S, "Ada Lovelace", "open"),
        (B200, "Blackwell", "open"),
        (0x3182, "Blackwell", "open"),
    ],
)
def test_generation_and_modules(gpu: int, generation: str, modules: str) -> None:
    assert nvidia_boards.generation(gpu).name == generation
    assert nvidia_boards.kernel_modules([gpu], "auto") == (modules, [])


def test_every_known_product_is_in_a_generation_that_its_name_allows() -> None:
    expected = {
        "A": ("Ampere",),
        "H": ("Hopper",),
        "L": ("Ada Lovelace",),
        "B": ("Blackwell",),
        "V": ("Volta",),
        "P": ("Pascal",),
    }
    for device, product in nvidia_boards.PRODUCTS.items():
        assert nvidia_boards.generation(device).name in expected.get(
            product[0], (nvidia_boards.generation(device).name,)
        ), product


def test_what_a_driver_does_not_drive_is_refused() -> None:
    assert codes(plan(facts(gpus=(V100,)), version="590")) == ["driver-branch"]
    assert codes(plan(facts(gpus=(B200,)), version="535.230.02")) == ["driver-branch"]
    assert codes(plan(facts(gpus=(B200,)), modules="proprietary")) == ["kernel-modules"]
    assert codes(plan(facts(gpus=(V100,)), modules="open")) == ["kernel-modules"]
    assert codes(plan(facts(), version="new")) == ["driver-version"]


def test_racks_exchange_memory_by_imex() -> None:
    found = plan(facts(gpus=(GB200,) * 4))
    assert found["fabric"] == "nvl72" and found["services"][1:] == ["nvidia-imex"]
    assert ["nvidia-imex", "nvidia-imex-580"] in [one["names"] for one in found["packages"]]
    entry = nvidia_driver.entry(nvidia_driver.either("nvidia-imex", "570"), "570")
    assert settled([entry], "ubuntu-noble.madison").versions == {"nvidia-imex-570": "570.211.01-0ubuntu1.24.04.1"}


# --- ways


def test_a_node_without_gpus_is_skipped_with_a_reason() -> None:
    found = plan(facts(gpus=(), secure_boot=True))
    assert (found["skip"], found["findings"]) == ("there is no NVIDIA GPU on the PCI bus", [])


@pytest.mark.parametrize(
    ("there", "way", "mixed"),
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
def test_ways_are_never_mixed(there: dict[str, Any], way: str, mixed: list[str]) -> None:
    assert nvidia_driver.installed_way(facts(**there)) == way
    for other in mixed:
        assert "driver-ways" in codes(plan(facts(**there), way=other, version="570.211.01"))


def test_a_run_file_as_in_the_field_notes() -> None:
    found = plan(facts(gpus=(H20,) * 8), way="runfile", version="535.230.02")
    assert found["runfile_arguments"] == ["--silent", "--dkms", "-m=kernel-open"]
    assert {"gcc", "make", "dkms", "nvidia-fabricmanager-535"} <= set(names(found))
    assert found["repository_url"] == "https://m/cuda/ubuntu2404/x86_64", "for the Fabric Manager"
    assert plan(facts(gpus=(L40S,)), way="runfile", version="580.95.05")["repository_url"] == ""
    assert plan(facts(), way="runfile", version="580.95.05")["runfile_arguments"][2] == "--kernel-module-type=open"
    assert codes(plan(facts(), way="runfile", version="580")) == ["driver-version"]


def test_ubuntus_own_packages_come_with_signed_modules() -> None:
    found = plan(facts(), way="distribution", version="570")
    assert "nvidia-headless-no-dkms-570-server-open" in names(found)
    assert "linux-modules-nvidia-570-server-open-6.8.0-85-generic" in names(found)
    assert "linux-modules-nvidia-570-server-open-generic" in names(found)
    assert not any(name.startswith("linux-headers") for name in names(found))


def test_debians_own_packages_are_in_non_free_at_the_address_of_main() -> None:
    row = {"uri": "http://m/debian/", "suite": "trixie", "signed_by": "/k.gpg"}
    found = plan(facts(DEBIAN, archive=[{**row, "component": "main"}]), way="distribution", version="550")
    assert names(found)[1:3] == ["nvidia-driver", "nvidia-open-kernel-dkms"]
    components = "contrib non-free non-free-firmware"
    text = f"Types: deb\nURIs: http://m/debian/\nSuites: trixie\nComponents: {components}\nSigned-By: /k.gpg\n"
    assert [one["content"] for one in found["files"] if one["path"].endswith("non-free.sources")] == [text]
    have = [{**row, "component": name} for name in ("main", "contrib", "non-free", "non-free-firmware")]
    assert not [
        one for one in plan(facts(DEBIAN, archive=have), way="distribution")["files"] if "non-free" in one["path"]
    ]


@pytest.mark.parametrize(
    ("os", "machine", "path"),
    [
        (UBUNTU, "x86_64", "ubuntu2404/x86_64"),
        (UBUNTU, "aarch64", "ubuntu2404/sbsa"),
        (DEBIAN, "x86_64", "debian13/x86_64"),
        (ROCKY, "x86_64", "rhel9/x86_64"),
    ],
)
def test_the_repository_of_a_distribution(os: dict[str, str], machine: str, path: str) -> None:
    assert plan(facts(os, architecture=machine))["repository_url"] == f"https://m/cuda/{path}"


def test_dnf_gets_the_epoch() -> None:
    entries = [
        nvidia_driver.entry(["nvidia-driver"], "595.58.03"),
        nvidia_driver.entry(["kmod-nvidia-open-dkms"], "same"),
    ]
    targets = settled(entries, "cuda-rhel9.repoquery")
    assert targets.versions == {"nvidia-driver": "3:595.58.03-1.el9", "kmod-nvidia-open-dkms": "3:595.58.03-1.el9"}


def test_a_fabric_manager_of_ubuntu_2204_in_its_newest_535() -> None:
    entry = nvidia_driver.entry(["cuda-drivers-fabricmanager"], "535")
    assert settled([entry], "cuda-ubuntu2204-fabricmanager.madison").versions == {
        "cuda-drivers-fabricmanager": "535.161.07-1"
    }


# --- a node that is read


@pytest.mark.parametrize(
    ("board", "fabric", "count"),
    [("h100", "nvswitch", 8), ("l40s", "none", 8), ("b200", "nvlink5", 8), ("none", "none", 0)],
)
def test_the_hardware_of_a_node(tmp_path: Path, board: str, fabric: str, count: int) -> None:
    nvidia_vendor.write_hardware(tmp_path, board)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
    recorded.command(tmp_path, "uname -m", "x86_64\n")
    found = nvidia_node.collect(Host(str(tmp_path)), Host(str(tmp_path)))
    made = plan(found)
    assert (made["fabric"], len(made["gpus"])) == (fabric, count)
    assert made["installed_way"] == "none"


def test_the_driver_of_a_node(tmp_path: Path) -> None:
    patterns = " ".join(nvidia_node._PACKAGES)
    text = "ii |nvidia-open-580|580.95.05-1\nhi |nvidia-fabricmanager|580.95.05-1\nrc |nvidia-dkms-570|570.1-1\n"
    recorded.command(
        tmp_path, f"dpkg-query -W -f=${{db:Status-Abbrev}}|${{Package}}|${{Version}}\\n {patterns}", text, rc=1
    )
    found = nvidia_node.installed_packages(Host(str(tmp_path)), "debian")
    assert found == {"nvidia-open-580": "580.95.05-1", "nvidia-fabricmanager": "580.95.05-1"}
    key = tmp_path / "etc/apt/trusted.gpg.d/cuda.gpg"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"\x99..\x10" + nvidia_node.OLD_KEY + b"..")
    assert nvidia_node.old_keys(Host(str(tmp_path))) == ["/etc/apt/trusted.gpg.d/cuda.gpg"]
    assert nvidia_node.runfile_version(Host(str(tmp_path))) is None
    recorded.write(tmp_path, "usr/bin/nvidia-uninstall", "")
    recorded.write(tmp_path, "usr/lib64/libnvidia-ml.so.535.230.02", "")
    assert nvidia_node.runfile_version(Host(str(tmp_path))) == "535.230.02"
    recorded.write(tmp_path, "usr/sbin/update-initramfs", "")
    assert nvidia_node.initramfs_command(Host(str(tmp_path))) == ["update-initramfs", "-u"]


def test_the_services_of_a_node(tmp_path: Path) -> None:
    units = " ".join(f"{name}.service" for name in nvidia_node.SERVICES)
    text = (
        "Id=nvidia-persistenced.service\nLoadState=loaded\nActiveState=active\nUnitFileState=static\n\n"
        "Id=nvidia-fabricmanager.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n\n"
        "Id=nvidia-imex.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
    )
    recorded.command(tmp_path, f"systemctl show --property=Id,LoadState,UnitFileState,ActiveState {units}", text)
    assert nvidia_node.services(Host(str(tmp_path))) == {
        "nvidia-persistenced": {"enabled": True, "active": True},
        "nvidia-fabricmanager": {"enabled": False, "active": False},
    }
