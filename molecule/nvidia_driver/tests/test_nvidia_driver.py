# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role picks, holds and refuses. Hardware, repository and .run file are stand-ins (tests/standins/nvidia_vendor.py);
apt, dpkg, systemd and the reboots are real."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

PLAYBOOK = "molecule/nvidia_driver/role.yml"
OLD, NEW, NEXT = "580.95.05", "580.105.08", "590.44.01"
RUN = {"nvidia_driver_source": "runfile", "nvidia_driver_version": "535.230.02"}
DEBIAN = "debian12" if os.environ.get("GROUND_SUITE") == "bookworm" else "debian13"


@pytest.fixture
def bare(node: Host, run: Callable[..., Any]) -> Iterator[None]:
    """Without a driver before and after."""
    run(tasks_from="remove")
    node.check_output("rm -rf /srv/hardware/proc")
    yield
    run(tasks_from="remove")
    hardware(node, "h100")


def hardware(node: Host, board: str) -> None:
    node.check_output("rm -rf /srv/hardware && cp -r /srv/mirrors/hardware/%s /srv/hardware", board)


def installed(node: Host) -> dict[str, str]:
    rows = node.check_output(
        "dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\\n' '*nvidia*' 'nvlsm' 'libnvsdm*' || true"
    )
    return {row.split()[1]: row.split()[2] for row in rows.splitlines() if row.startswith(("ii", "hi"))}


def held(node: Host) -> set[str]:
    return set(node.check_output("apt-mark showhold").split())


def sha256(node: Host, wanted: dict[str, str]) -> str:
    return node.check_output("cat /srv/mirrors/run/%s/*.sha256", wanted["nvidia_driver_version"])


def boot(node: Host) -> str:
    """Changes with each boot: the node's init was started again."""
    return node.check_output("stat -c %Y /proc/1")


def test_the_wanted_version_and_nothing_newer(node: Host) -> None:
    """580.105.08 and 590.44.01 wait in the repository, and dependencies would take them (NVIDIA forum 353805)."""
    found = installed(node)
    ours = {name: version for name, version in found.items() if "pinning" not in name}
    assert set(ours) == {"nvidia-open-580", "nvidia-driver-580-open", "nvidia-utils-580", "nvidia-fabricmanager"}
    assert set(ours.values()) == {f"{OLD}-1"}
    assert f"nvidia-driver-pinning-{OLD}" in found
    assert set(ours) <= held(node), "dependencies too"
    assert "nvidia" not in node.check_output("apt-get -s dist-upgrade | grep ^Inst || true")


def test_the_node_booted_and_runs_it(node: Host) -> None:
    """Converge may reboot: only a boot "loads" the stand-in's module, and nvidia-smi refuses to work without."""
    assert f"<driver_version>{OLD}<" in node.check_output("nvidia-smi -q -x")
    for name in ("nvidia-fabricmanager", "nvidia-persistenced"):
        assert node.service(name).is_running and node.service(name).is_enabled


def test_persistence_mode_is_on_now_and_after_a_boot(node: Host, run: Callable[..., Any]) -> None:
    def modes() -> str:
        return node.check_output("nvidia-smi -q -x | grep -o '<persistence_mode>[^<]*' | sort -u")

    assert modes() == "<persistence_mode>Enabled", "the daemon's start has done it"
    node.check_output("sed -i 's,<persistence_mode>Enabled,<persistence_mode>Disabled,' /srv/hardware/nvidia-smi.xml")
    result = run()
    assert (result.rc, result.changed) == (0, 1)
    assert modes() == "<persistence_mode>Enabled"


def test_nouveau_and_unattended_upgrades_are_kept_away(node: Host) -> None:
    assert "blacklist nouveau" in node.file("/etc/modprobe.d/fullrank-nouveau.conf").content_string
    shown = node.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    assert '"nvidia-"' in shown and '"linux-"' in shown


def test_check_mode_reports_nothing_when_there_is_nothing(run: Callable[..., Any]) -> None:
    result = run("--check", "--diff")
    assert (result.rc, result.changed, result.outcome["reboot_required"]) == (0, 0, False)


def test_a_branch_that_is_installed_stays(node: Host, run: Callable[..., Any]) -> None:
    result = run(nvidia_driver_version="580")
    assert (result.rc, result.changed) == (0, 0)
    assert installed(node)["nvidia-open-580"] == f"{OLD}-1"


def test_another_version_needs_a_reboot_and_waits_for_permission(node: Host, run: Callable[..., Any]) -> None:
    before = boot(node)
    planned = run("--check", "--diff", nvidia_driver_version=NEW)
    assert planned.rc == 0 and planned.changed > 0
    assert f"+nvidia-fabricmanager {NEW}-1" in planned.text
    assert installed(node)["nvidia-open-580"] == f"{OLD}-1", "check mode"

    result = run(nvidia_driver_version=NEW)
    assert (result.rc, result.outcome["reboot_required"]) == (0, True)
    assert f"the kernel has driver {OLD} loaded, and {NEW} is installed" in result.printed
    assert installed(node)["nvidia-fabricmanager"] == installed(node)["nvidia-utils-580"] == f"{NEW}-1"
    assert f"nvidia-driver-pinning-{NEW}" in installed(node) and f"nvidia-driver-pinning-{OLD}" not in installed(node)
    assert {"nvidia-open-580", "nvidia-fabricmanager", "nvidia-utils-580"} <= held(node)
    assert boot(node) == before
    assert node.run("nvidia-smi -q -x").rc == 18, "Driver/library version mismatch"

    again = run(nvidia_driver_version=NEW)
    assert (again.rc, again.changed, again.outcome["reboot_required"]) == (0, 0, True)

    allowed = run(nvidia_driver_version=NEW, nvidia_driver_reboot_ok=True)
    assert (allowed.rc, allowed.outcome["reboot_required"]) == (0, False)
    assert boot(node) != before
    assert f"<driver_version>{NEW}<" in node.check_output("nvidia-smi -q -x")
    assert node.service("nvidia-fabricmanager").is_running, "after a reboot (azhpc PR 365, dstack 2348)"


def test_a_version_that_is_not_offered_is_refused_with_those_that_are(node: Host, run: Callable[..., Any]) -> None:
    before = installed(node)
    result = run(nvidia_driver_version="580.1")
    assert result.rc != 0
    assert "no nvidia-open-580 or nvidia-open of version 580.1" in result.printed
    assert f"nvidia-open-580 {NEW}-1" in result.text
    assert installed(node) == before


def test_a_failing_upgrade_goes_back(node: Host, run: Callable[..., Any]) -> None:
    before, holds = installed(node), held(node)
    broken = {"nvidia_driver_repositories": "file:///srv/mirrors/broken", "nvidia_driver_version": "580"}
    result = run(tasks_from="upgrade", **broken)
    assert result.rc != 0 and "the versions of before are installed and held again" in result.text
    after = {name: version for name, version in installed(node).items() if "pinning" not in name}
    assert after == {name: version for name, version in before.items() if "pinning" not in name}
    assert {name for name in holds if "pinning" not in name} <= held(node)
    assert node.run("nvidia-smi -q -x").rc == 0
    assert run(nvidia_driver_version=NEW).rc == 0


@pytest.mark.parametrize(
    "variables", [{"tasks_from": "upgrade", "nvidia_driver_version": "580"}, {"nvidia_driver_version": "590"}]
)
def test_a_driver_is_not_swapped_under_somebodys_work(
    variables: dict[str, str], node: Host, run: Callable[..., Any]
) -> None:
    before = installed(node)
    process = "<process_info><pid>7</pid><process_name>vllm</process_name></process_info>"
    node.check_output(
        f"sed -i.quiet 's,<processes></processes>,<processes>{process}</processes>,' /srv/hardware/nvidia-smi.xml"
    )
    result = run(**variables)
    node.check_output("mv /srv/hardware/nvidia-smi.xml.quiet /srv/hardware/nvidia-smi.xml")
    assert result.rc != 0 and result.changed == 0 and "vllm uses the GPUs of this node" in result.printed
    assert installed(node) == before


def test_a_fabric_manager_of_another_version_is_refused(node: Host, run: Callable[..., Any]) -> None:
    """The repository has driver 570.86.15, and Fabric Manager 570.124.06 (siderolabs/pkgs 720, gpu-operator 544)."""
    before = installed(node)
    result = run(nvidia_driver_version="570.86.15")
    assert result.rc != 0
    assert "no nvidia-fabricmanager or nvidia-fabricmanager-570 of version 570.86.15" in result.printed
    assert "nvidia-fabricmanager-570 570.124.06-1" in result.printed
    assert installed(node) == before


def test_from_590_on_names_have_no_branch(node: Host, run: Callable[..., Any]) -> None:
    result = run(nvidia_driver_version="590", nvidia_driver_reboot_ok=True)
    assert result.rc == 0
    ours = {name: version for name, version in installed(node).items() if "pinning" not in name}
    assert {"nvidia-open", "nvidia-driver-open", "nvidia-utils", "nvidia-fabricmanager"} <= set(ours)
    assert installed(node)["nvidia-fabricmanager"] == f"{NEXT}-1"
    assert f"<driver_version>{NEXT}<" in node.check_output("nvidia-smi -q -x")


def test_a_repository_with_another_key_is_refused(node: Host, run: Callable[..., Any]) -> None:
    before = installed(node)
    result = run(nvidia_driver_version=OLD, nvidia_driver_repositories="file:///srv/mirrors/foreign")
    assert result.rc != 0 and ("NO_PUBKEY" in result.text or "Missing key" in result.text)
    assert installed(node) == before
    assert run(nvidia_driver_version="590").rc == 0


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("board", ["l40s", "a100", "b200"])
def test_the_fabric_is_what_the_hardware_needs(board: str, node: Host, run: Callable[..., Any]) -> None:
    """Found, not flagged: PCIe cards need nothing (cube-studio 29), NVSwitches the manager, HGX B200 nvlsm as well."""
    hardware(node, board)
    result = run(nvidia_driver_reboot_ok=True)
    assert result.rc == 0
    found = set(installed(node))
    assert ("nvidia-fabricmanager" in found) == (board != "l40s")
    assert ({"nvlsm", "libnvsdm"} <= found) == (board == "b200")
    assert node.file("/etc/modules-load.d/fullrank-nvlink.conf").exists == (board == "b200")
    if board != "b200":
        return
    node.check_output("cp /srv/mirrors/hardware/b200-waiting/nvidia-smi.xml /srv/hardware/")
    waiting = run()
    assert waiting.rc != 0, "nvidia-smi works, and the fabric does not (gpu-operator 2781)"
    assert "The NVLink fabric is not ready" in waiting.text and "In Progress" in waiting.text


@pytest.mark.usefixtures("bare")
def test_a_node_without_gpus_is_left_alone(node: Host, run: Callable[..., Any]) -> None:
    hardware(node, "none")
    result = run()
    assert (result.rc, result.changed) == (0, 0)
    assert "there is no NVIDIA GPU on the PCI bus" in result.text


@pytest.mark.usefixtures("bare")
def test_secure_boot_is_refused_with_the_choices(node: Host, run: Callable[..., Any]) -> None:
    variable = "/srv/hardware/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    node.check_output(f"mkdir -p $(dirname {variable}) && printf '\\006\\000\\000\\000\\001' > {variable}")
    result = run()
    assert result.rc != 0 and result.changed == 0
    for words in ("Secure Boot is on", "mokutil --import", "nvidia_driver_source: distribution"):
        assert words in result.printed


@pytest.mark.usefixtures("bare")
def test_a_rack_exchanges_memory_by_imex(node: Host, run: Callable[..., Any]) -> None:
    hardware(node, "gb200")
    alone = run(nvidia_driver_reboot_ok=True)
    assert alone.rc == 0 and "nvidia-imex is not started" in alone.printed
    assert not node.service("nvidia-imex").is_running
    rack = {"nvidia_driver_imex_nodes": ["10.0.0.1", "10.0.0.2"]}
    assert run(**rack).rc == 0
    assert node.service("nvidia-imex").is_running and node.service("nvidia-imex").is_enabled
    assert node.file("/etc/nvidia-imex/nodes_config.cfg").content_string == "10.0.0.1\n10.0.0.2\n"
    assert "NVreg_CreateImexChannel0=1" in node.file("/etc/modprobe.d/fullrank-imex.conf").content_string
    assert installed(node)["nvidia-imex"] == f"{OLD}-1" and "nvidia-imex" in held(node)
    again = run(**rack)
    assert (again.rc, again.changed) == (0, 0)


@pytest.mark.usefixtures("bare")
def test_a_reboot_that_does_not_help_is_an_error(node: Host, run: Callable[..., Any]) -> None:
    """A module that DKMS could not build, or that the kernel refuses: a node that "needs a reboot" for ever."""
    drop_in = "/etc/systemd/system/standin-nvidia.service.d"
    node.check_output(f"mkdir {drop_in} && printf '[Unit]\\nConditionPathExists=/none\\n' > {drop_in}/none.conf")
    result = run(nvidia_driver_reboot_ok=True)
    node.check_output(f"rm -r {drop_in}")
    assert result.rc != 0
    assert f"The node booted, and still: driver {OLD} is installed, and not loaded" in result.printed


@pytest.mark.usefixtures("bare")
def test_a_run_file(node: Host, run: Callable[..., Any]) -> None:
    hardware(node, "l40s")
    wrong = run(nvidia_driver_runfile_sha256="0" * 64, **RUN)
    assert wrong.rc != 0 and wrong.changed == 0 and "checksum" in wrong.text
    assert not node.file("/usr/bin/nvidia-uninstall").exists

    result = run(nvidia_driver_runfile_sha256=sha256(node, RUN), **RUN)
    assert (result.rc, result.outcome["reboot_required"]) == (0, False), "the installer loads the module"
    assert node.check_output("cat /var/log/nvidia-installer.log") == "--silent --dkms -m=kernel-open"
    assert "<driver_version>535.230.02<" in node.check_output("nvidia-smi -q -x")
    assert node.service("nvidia-persistenced").is_running, "NVIDIA's .run file brings no unit for it"
    again = run(nvidia_driver_runfile_sha256=sha256(node, RUN), **RUN)
    assert (again.rc, again.changed) == (0, 0)

    mixed = run()
    assert mixed.rc != 0 and mixed.changed == 0
    assert "driver 535.230.02 is installed by runfile, and repository is wanted" in mixed.printed

    newer = {**RUN, "nvidia_driver_version": "535.247.01"}
    swapped = run(nvidia_driver_runfile_sha256=sha256(node, newer), **newer)
    assert swapped.rc == 0, "the services let the old module go first"
    assert "<driver_version>535.247.01<" in node.check_output("nvidia-smi -q -x")
    assert node.service("nvidia-persistenced").is_running


@pytest.mark.usefixtures("bare")
def test_a_run_file_where_nouveau_drives_the_gpus(node: Host, run: Callable[..., Any]) -> None:
    """As on a bare server. The node's modprobe cannot unload it, a stand-in of it can."""
    hardware(node, "l40s")
    nouveau, modprobe = "/srv/hardware/sys/module/nouveau", "/usr/local/sbin/modprobe"
    node.check_output(f"mkdir -p {nouveau}")
    keeps = run(nvidia_driver_runfile_sha256=sha256(node, RUN), **RUN)
    assert keeps.rc != 0 and "boot this node, and run this again" in keeps.printed
    assert "blacklist nouveau" in node.file("/etc/modprobe.d/fullrank-nouveau.conf").content_string
    node.check_output(f"printf '#!/bin/sh\\nrmdir {nouveau}\\n' > {modprobe} && chmod 755 {modprobe}")
    lets_go = run(nvidia_driver_runfile_sha256=sha256(node, RUN), **RUN)
    node.check_output(f"rm {modprobe}")
    assert lets_go.rc == 0
    assert "<driver_version>535.230.02<" in node.check_output("nvidia-smi -q -x")


@pytest.mark.usefixtures("bare")
def test_another_key_is_refused_before_anything_is_written(node: Host, run: Callable[..., Any]) -> None:
    result = run(nvidia_driver_repositories="file:///srv/mirrors/foreign")
    assert result.rc != 0 and result.changed == 0
    assert "is refused, its fingerprint is" in result.printed
    assert node.check_output("find /etc -name 'fullrank-nvidia*'") == ""


@pytest.mark.usefixtures("bare")
def test_an_older_source_of_the_same_repository_is_put_aside(node: Host, run: Callable[..., Any]) -> None:
    old = f"/etc/apt/sources.list.d/cuda-{DEBIAN}-x86_64.list"
    url = f"file:///srv/mirrors/cuda/{DEBIAN}/x86_64"
    node.check_output(f"echo 'deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] {url} /' > {old}")
    result = run()
    assert result.rc == 0
    assert not node.file(old).exists and node.file(old + ".save").exists


@pytest.mark.usefixtures("bare")
def test_remove_leaves_nothing(node: Host, run: Callable[..., Any]) -> None:
    assert run().rc == 0
    assert run(tasks_from="remove").rc == 0
    assert installed(node) == {} and held(node) == set()
    assert node.check_output("find /etc /usr/share/keyrings -name '*fullrank*'") == ""
    again = run(tasks_from="remove")
    assert (again.rc, again.changed) == (0, 0)
