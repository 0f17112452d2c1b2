# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers see the GPUs. Docker (on Debian 12 podman), its CDI devices and the containers are real; driver, toolkit and
repository are stand-ins (tests/standins/nvidia_toolkit.py)."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

PLAYBOOK = "molecule/nvidia_container_toolkit/role.yml"
PACKAGES = {
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
}
DAEMON = "/etc/docker/daemon.json"
RUNTIME = "podman" if os.environ.get("GROUND_SUITE") == "bookworm" else "docker"
of_docker = pytest.mark.skipif(RUNTIME != "docker", reason="Debian 12 has no docker with CDI devices")


def installed(node: Host) -> dict[str, str]:
    rows = node.check_output(
        "dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\\n' '*nvidia-container*' || true"
    )
    return {row.split()[1]: row.split()[2] for row in rows.splitlines() if row[1:2] == "i"}


def seen_in_a_container(node: Host) -> int:
    words = "run --rm --network none --device nvidia.com/gpu=all local/shell:1 nvidia-smi -L | wc -l"
    return int(node.check_output(f"{RUNTIME} {words}"))


def test_four_packages_of_one_version_held(node: Host) -> None:
    """1.18.1 and 1.19.0 wait, and the dependencies would take them."""
    assert installed(node) == dict.fromkeys(PACKAGES, "1.18.0-1")
    assert set(node.check_output("apt-mark showhold").split()) >= PACKAGES


def test_a_container_sees_all_gpus(node: Host) -> None:
    assert seen_in_a_container(node) == 8
    assert node.service("nvidia-cdi-refresh.path").is_enabled


@of_docker
def test_dockers_cdi_feature_is_on(node: Host) -> None:
    assert json.loads(node.file(DAEMON).content_string)["features"] == {"cdi": True}


@pytest.mark.skipif(RUNTIME != "podman", reason="docker of this release has CDI devices")
def test_a_docker_without_cdi_is_refused(run: Callable[..., Any]) -> None:
    result = run(nvidia_container_toolkit_runtime="docker")
    assert result.rc != 0 and result.changed == 0
    assert "knows no CDI devices, 25.0 is the first that does" in result.printed


def test_check_mode_reports_nothing_when_there_is_nothing(run: Callable[..., Any]) -> None:
    result = run("--check", "--diff")
    assert (result.rc, result.changed) == (0, 0)


@of_docker
def test_what_a_user_wrote_to_daemon_json_stays(node: Host, run: Callable[..., Any]) -> None:
    """nvidia-docker 490, 504, 1448: the file is merged, not written over."""
    written = {**json.loads(node.file(DAEMON).content_string), "debug": True}
    node.run(f"printf '%s' '{json.dumps(written)}' > {DAEMON} && systemctl restart docker")
    result = run()
    assert (result.rc, result.changed) == (0, 0)
    assert json.loads(node.file(DAEMON).content_string)["debug"] is True


def test_the_specification_follows_the_driver(node: Host, run: Callable[..., Any]) -> None:
    node.check_output("cp -r /srv/mirrors/machine/580.105.08/. /")
    result = run()
    assert (result.rc, result.changed) == (0, 1)
    assert "libcuda.so.580.105.08" in node.file("/var/run/cdi/nvidia.yaml").content_string
    assert seen_in_a_container(node) == 8


def test_a_running_container_that_lost_its_gpus_is_named(node: Host, run: Callable[..., Any]) -> None:
    """toolkit 48, 251, 1227: "Failed to initialize NVML" in a container that goes on running."""
    words = "run -d --name loser --network none --device nvidia.com/gpu=all local/shell:1 sleep 600"
    node.check_output(f"{RUNTIME} {words}")
    try:
        assert run().rc == 0
        pid = node.check_output(RUNTIME + " inspect -f '{{.State.Pid}}' loser")
        node.check_output(f"nsenter -t {pid} -m mount --bind /dev/null /srv/hardware/proc/driver/nvidia/version")
        result = run()
        assert result.rc != 0
        assert "container loser lost its GPUs (Failed to initialize NVML" in result.printed
    finally:
        node.check_output(f"{RUNTIME} rm -f loser")


def test_a_driver_that_does_not_answer_is_refused(node: Host, run: Callable[..., Any]) -> None:
    version = "/srv/hardware/proc/driver/nvidia/version"
    node.check_output(f"mv {version} {version}.away")
    result = run()
    node.check_output(f"mv {version}.away {version}")
    assert result.rc != 0 and result.changed == 0
    assert "Driver/library version mismatch; boot the node" in result.printed


def test_upgrade_takes_the_newest_of_the_line(node: Host, run: Callable[..., Any]) -> None:
    assert run(nvidia_container_toolkit_version="1.18").changed == 0
    assert run(tasks_from="upgrade", nvidia_container_toolkit_version="1.18").rc == 0
    assert installed(node) == dict.fromkeys(PACKAGES, "1.18.1-1")


def test_an_incomplete_mirror_and_another_key_are_refused(node: Host, run: Callable[..., Any]) -> None:
    before = installed(node)
    incomplete = run(nvidia_container_toolkit_version="1.20.0")
    assert incomplete.rc != 0 and "no libnvidia-container1 of version 1.20.0" in incomplete.printed
    refused = run(
        nvidia_container_toolkit_version="1.19", nvidia_container_toolkit_repository="file:///srv/mirrors/foreign"
    )
    assert refused.rc != 0 and ("NO_PUBKEY" in refused.text or "Missing key" in refused.text)
    assert installed(node) == before
    assert run(nvidia_container_toolkit_version="1.18").rc == 0


def test_it_works_after_a_reboot(node: Host) -> None:
    """/var/run is empty after a boot: the unit writes the specification again."""
    before = node.check_output("stat -c %Y /proc/1")
    with contextlib.suppress(RuntimeError):  # the connection may end before the answer
        node.run("systemctl reboot")
    for _ in range(60):
        time.sleep(1)
        with contextlib.suppress(RuntimeError):  # no ssh while it boots
            if node.check_output("stat -c %Y /proc/1") != before:
                break
    node.check_output(
        f"timeout 60 sh -c 'until {RUNTIME} info && test -e /var/run/cdi/nvidia.yaml; do sleep 1; done' >/dev/null 2>&1"
    )
    assert seen_in_a_container(node) == 8


def test_an_old_toolkit_gets_units_of_ours(node: Host, run: Callable[..., Any]) -> None:
    assert run(nvidia_container_toolkit_version="1.17.8").rc == 0
    assert node.service("fullrank-cdi-refresh.path").is_enabled and seen_in_a_container(node) == 8
    again = run(nvidia_container_toolkit_version="1.17.8")
    assert (again.rc, again.changed) == (0, 0)


def test_remove_leaves_nothing_of_ours(node: Host, run: Callable[..., Any]) -> None:
    assert run(tasks_from="remove").rc == 0
    assert installed(node) == {}
    if RUNTIME == "docker":
        assert "cdi" not in node.file(DAEMON).content_string and '"debug"' in node.file(DAEMON).content_string
    assert node.check_output("find /etc /usr/share/keyrings -name '*fullrank*'") == ""
    again = run(tasks_from="remove")
    assert (again.rc, again.changed) == (0, 0)
