# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/nodes.yml from a bare node to a container with GPUs, and the next driver: the reboots are real, and counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from testinfra.host import Host

PLAYBOOK = "playbooks/nodes.yml"
OLD, NEW = "580.95.05", "580.105.08"
RUNTIME = (
    "podman" if os.environ.get("GROUND_SUITE") == "bookworm" else "docker"
)  # of Debian 12, docker has no CDI devices


def boots(node: Host) -> int:
    return len(node.check_output("cat /var/lib/boots").splitlines())


def driver(node: Host) -> str:
    """That the node runs: nvidia-smi refuses to work when the loaded module is another one."""
    return node.check_output("nvidia-smi --query-gpu=driver_version --format=csv,noheader | sort -u")


def seen_in_a_container(node: Host) -> int:
    words = "run --rm --network none --device nvidia.com/gpu=all local/shell:1 nvidia-smi -L | sed -n /^GPU/p | wc -l"
    return int(node.check_output(f"{RUNTIME} {words}"))


def test_one_boot_and_everything_works(node: Host) -> None:
    assert boots(node) == 1
    assert driver(node) == OLD
    for name in ("nvidia-fabricmanager", "nvidia-persistenced", *(["docker"] if RUNTIME == "docker" else [])):
        assert node.service(name).is_running and node.service(name).is_enabled


def test_a_container_sees_all_gpus(node: Host) -> None:
    node.check_output(
        "apt-get install -qq -y busybox-static >/dev/null 2>&1; mkdir -p /tmp/image/bin; cp /bin/busybox /tmp/image/bin; "
        "for name in sh sed awk grep; do ln -sf busybox /tmp/image/bin/$name; done; "
        f"tar -C /tmp/image -c . | {RUNTIME} import - local/shell:1"
    )
    assert seen_in_a_container(node) == 8


def test_check_mode_reports_nothing_when_there_is_nothing(node: Host, run: Callable[..., Any]) -> None:
    result = run("--check", "--diff")
    assert (result.rc, result.changed, boots(node)) == (0, 0, 1)


def test_a_tag_is_one_role(run: Callable[..., Any]) -> None:
    result = run("--tags", "docker", nvidia_driver_version=NEW)
    assert (result.rc, result.changed) == (0, 0)
    roles = {event["event_data"].get("role") for event in result.events} - {None, ""}
    assert {name.rpartition(".")[2] for name in roles} == {"docker"}


def test_what_is_no_role_is_refused_and_what_is_missing_too(run: Callable[..., Any]) -> None:
    result = run(nodes_roles=["nvidia-driver", "docker"])
    assert result.rc != 0 and result.changed == 0
    assert "nodes_roles: nvidia-driver is no role of nodes; write some of" in result.printed


def test_the_next_driver_waits_for_permission_to_boot(node: Host, run: Callable[..., Any]) -> None:
    refused = run(nvidia_driver_version=NEW, nodes_reboot_ok=False)
    assert refused.rc != 0
    assert "n1 must boot before nvidia_driver can be used" in refused.printed
    assert boots(node) == 1
    assert seen_in_a_container(node) == 0, "until the boot nvidia-smi prints: Driver/library version mismatch"

    allowed = run(nvidia_driver_version=NEW)
    assert allowed.rc == 0
    assert (boots(node), driver(node)) == (2, NEW)
    assert f"libcuda.so.{NEW}" in node.file("/var/run/cdi/nvidia.yaml").content_string
    assert seen_in_a_container(node) == 8
    again = run(nvidia_driver_version=NEW)
    assert (again.rc, again.changed, boots(node)) == (0, 0, 2)


def test_a_reboot_that_does_not_help_stops_there(node: Host, run: Callable[..., Any]) -> None:
    """A module that DKMS could not build, or that the kernel refuses."""
    drop_in = "/etc/systemd/system/standin-nvidia.service.d"
    node.check_output(
        f"mkdir {drop_in} && printf '[Unit]\\nConditionPathExists=/none\\n' > {drop_in}/none.conf && "
        "rm /srv/hardware/proc/driver/nvidia/version"
    )
    result = run(nvidia_driver_version=NEW)
    node.check_output(f"rm -r {drop_in}")
    assert result.rc != 0 and boots(node) == 3
    assert "n1 booted, and still needs a reboot for nvidia_driver" in result.printed
