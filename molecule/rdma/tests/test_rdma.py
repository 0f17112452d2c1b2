# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole life of the role on one node, in the order of the file: skipped, inbox, refused, MLNX_OFED, DOCA, reboot, removed.

NVIDIA's packages and the hardware are stand-ins; apt, systemd and the reboot are real.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from helpers import reboot
from testinfra.host import Host

PLAYBOOK = "molecule/rdma/converge.yml"
OURS = {
    "system": "/etc/systemd/system.conf.d/90-fullrank-rdma.conf",
    "modules": "/etc/modules-load.d/fullrank-rdma.conf",
    "sources": "/etc/apt/sources.list.d/fullrank-rdma.sources",
}
MLNX = {"rdma_source": "mlnx_ofed", "rdma_version": "24.10-1.1.4.0"}
DOCA = {"rdma_source": "doca", "rdma_version": "3.2.1"}


def ours(node: Host) -> set[str]:
    return {name for name, path in OURS.items() if node.file(path).exists}


def from_vendor(vendor: dict[str, str], which: dict[str, str]) -> dict[str, str]:
    return {
        **which,
        "rdma_repository_url": vendor[which["rdma_source"]],
        "rdma_repository_key": vendor["key"],
        "rdma_repository_fingerprint": vendor["fingerprint"],
    }


def the_next(vendor: dict[str, str]) -> dict[str, str]:
    return {**from_vendor(vendor, DOCA), "rdma_version": "3.2.2", "rdma_repository_url": vendor["next"]}


def twice(play: Callable[..., Any], **variables: Any) -> Any:
    """Check mode reports changes and makes none, the run makes them, a second run and check mode find nothing."""
    predicted = play(PLAYBOOK, "--check", "--diff", **variables)
    first = play(PLAYBOOK, **variables)
    second = play(PLAYBOOK, **variables)
    checked = play(PLAYBOOK, "--check", "--diff", **variables)
    assert (predicted.rc, first.rc, second.rc, checked.rc) == (0, 0, 0, 0)
    assert predicted.changed > 0 and first.changed > 0
    assert (second.changed, checked.changed) == (0, 0)
    return first


def test_a_node_without_cards_is_left_alone(node: Host, play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK)
    assert (run.rc, run.changed) == (0, 0)
    assert "RDMA is skipped: no RDMA device" in run.printed
    assert ours(node) == set()


def test_check_mode_writes_nothing(node: Host, play: Callable[..., Any], hardware: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, "--check", "--diff", **hardware())
    assert run.rc == 0 and run.changed > 0
    assert "+DefaultLimitMEMLOCK=infinity" in run.printed
    # what would be installed first cannot be judged yet; what is odd on the fabric is
    findings = run.outcome["rdma"]["findings"]
    assert {one["code"] for one in findings} >= {"roce-mtu"}
    assert [one for one in findings if one["severity"] == "fail"] == []
    assert ours(node) == set()
    assert not node.package("rdma-core").is_installed


def test_inbox(node: Host, play: Callable[..., Any], hardware: Callable[..., Any]) -> None:
    run = twice(play, **hardware())
    assert node.package("rdma-core").is_installed
    assert node.run("ib_write_bw --version").stdout.startswith("Version:")  # its exit status is 1
    assert ours(node) == {"system", "modules"}
    assert node.file(OURS["modules"]).content_string.splitlines()[1:] == ["mlx5_ib", "ib_uverbs", "rdma_ucm", "ib_umad"]
    assert "DefaultLimitMEMLOCK=infinity" in node.check_output("systemctl show --property=DefaultLimitMEMLOCK")
    # this node cannot raise the limit: a line in limits.d would lock out every login
    assert "limits.d is left alone" in run.printed
    assert not node.file("/etc/security/limits.d/90-fullrank-rdma.conf").exists
    assert {one["code"] for one in run.outcome["rdma"]["findings"]} <= {"roce-mtu", "roce-qos", "pci-acs", "iommu"}


def test_everything_that_stands_in_the_way_is_reported_at_once(
    node: Host, play: Callable[..., Any], hardware: Callable[..., Any]
) -> None:
    secure_boot = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    recorded = hardware(
        **{
            "lib/modules/6.8.0-60-generic/build/Makefile": None,
            "lib/modules/6.8.0-71-generic/modules.dep": "",
            secure_boot: "\x06\x00\x00\x00\x01",
        }
    )
    before = node.check_output("dpkg -l | md5sum; find /etc -newer /etc/hostname -type f | sort | md5sum")
    run = play(PLAYBOOK, **recorded, rdma_source="doca", rdma_gpudirect="dma-buf")
    assert (run.rc != 0, run.changed) == (True, 0)
    for words in (
        "nothing was changed: 5 findings",
        "rdma_version: doca needs a version",
        "rdma_repository_fingerprint: the key that signs the repository is not known to this role",
        "6.8.0-71-generic is installed",
        "install linux-headers-6.8.0-60-generic",
        "Secure Boot is on",
    ):
        assert words in run.printed
    assert node.check_output("dpkg -l | md5sum; find /etc -newer /etc/hostname -type f | sort | md5sum") == before


def test_mlnx_ofed(node: Host, play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]) -> None:
    refused = play(PLAYBOOK, **hardware(), **{**from_vendor(vendor, MLNX), "rdma_repository_fingerprint": "A" * 40})
    assert (refused.rc != 0, refused.changed) == (True, 0)
    assert "is refused, its fingerprint is" in refused.printed and not node.file(OURS["sources"]).exists
    twice(play, **hardware(), **from_vendor(vendor, MLNX))
    assert node.package("mlnx-ofed-all").version == "24.10-1.1.4.0"
    assert "mlnx-ofed-all" in node.check_output("apt-mark showhold")
    assert node.service("openibd").is_enabled
    assert ours(node) == set(OURS)


def test_one_stack_does_not_slide_into_another(
    node: Host, play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    for variables, words in (
        (from_vendor(vendor, DOCA), "set rdma_migrate_ok"),
        ({"rdma_source": "inbox"}, "the way from it to inbox is not one of ours"),
    ):
        run = play(PLAYBOOK, **hardware(), **variables)
        assert (run.rc != 0, run.changed) == (True, 0)
        assert words in run.printed
    assert node.package("mlnx-ofed-all").is_installed


def test_from_mlnx_ofed_to_doca(
    node: Host, play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    twice(play, **hardware(), **from_vendor(vendor, DOCA), rdma_migrate_ok=True)
    assert node.file("/var/log/standin-ofed-uninstall").content_string == "removed\n", "by its own script, once"
    assert not node.package("mlnx-ofed-all").is_installed
    assert node.package("doca-ofed").version == "3.2.1-044000"
    assert node.check_output("ofed_info -s").startswith("OFED-internal")
    assert "mlnx_ofed/" not in node.file(OURS["sources"]).content_string


def test_the_next_release_by_its_number(
    node: Host, play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    run = play(PLAYBOOK, **hardware(), **the_next(vendor))
    assert run.rc == 0 and run.changed > 0
    assert node.package("doca-ofed").version == "3.2.2-025000"
    assert "doca-ofed" in node.check_output("apt-mark showhold")
    assert play(PLAYBOOK, **hardware(), **the_next(vendor)).changed == 0


def test_another_driver_loaded_than_installed_asks_for_a_reboot(
    play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    run = play(PLAYBOOK, **hardware(**{"sys/module/mlx5_core/srcversion": "BBBB"}), **the_next(vendor))
    assert (run.rc, run.changed) == (0, 0)
    assert run.outcome["rdma"]["reboot_required"] == {"n1": "mlx5_core BBBB is loaded, AAAA is installed"}


def test_a_driver_that_was_not_built_for_this_kernel_is_a_failure(
    play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    changes = {"commands/modinfo -k 6.8.0-60-generic -F filename mlx5_core": "/lib/modules/x/kernel/mlx5_core.ko\n"}
    run = play(PLAYBOOK, **hardware(**changes), **the_next(vendor))
    assert run.rc != 0
    assert "mlx5_core is the kernel's own" in run.printed


def test_a_setting_that_wins_over_ours_is_reported(
    node: Host, play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    theirs = "/etc/systemd/system.conf.d/99-site.conf"
    node.check_output(f"printf '[Manager]\\nDefaultLimitMEMLOCK=8M\\n' > {theirs}")
    try:
        run = play(PLAYBOOK, **hardware(), **the_next(vendor))
    finally:
        node.check_output(f"rm {theirs}")
    assert run.rc == 0
    assert re.search("DefaultLimitMEMLOCK=8M.* is read after ours and wins", run.printed)


def test_it_is_all_there_after_a_reboot(
    node: Host, play: Callable[..., Any], hardware: Callable[..., Any], vendor: dict[str, str]
) -> None:
    reboot(node)
    assert "DefaultLimitMEMLOCK=infinity" in node.check_output("systemctl show --property=DefaultLimitMEMLOCK")
    assert node.service("openibd").is_running
    run = play(PLAYBOOK, **hardware(), **the_next(vendor))
    assert (run.rc, run.changed) == (0, 0)


def test_removed(node: Host, play: Callable[..., Any]) -> None:
    predicted = play("molecule/rdma/remove.yml", "--check", "--diff")
    assert predicted.rc == 0 and predicted.changed > 0
    assert ours(node) == set(OURS)
    run = play("molecule/rdma/remove.yml")
    assert run.rc == 0 and run.changed > 0
    assert ours(node) == set()
    assert not node.package("doca-ofed").is_installed
    assert "DefaultLimitMEMLOCK=infinity" not in node.check_output("systemctl show --property=DefaultLimitMEMLOCK")
    again = play("molecule/rdma/remove.yml")
    assert (again.rc, again.changed) == (0, 0)
