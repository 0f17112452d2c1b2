# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test ground itself: made, limited, cut, crashed, and gone without a trace. A ground of its own, beside any other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NAME, NET = "gt", "10.76.0"
ENV = {**os.environ, "GROUND_NAME": NAME, "GROUND_NET": NET}
LIMIT_S = 300  # the base file system may have to be made


def ground(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        [HERE / "ground.py", *arguments], env=ENV, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def reaches(target: str) -> bool:
    probe = f"exec 3<>/dev/tcp/{target}/22"
    return subprocess.run(["timeout", "3", "bash", "-c", probe], capture_output=True, check=False).returncode == 0


def traces() -> list[str]:
    """What of this ground is left on the machine: namespaces, interfaces, cgroups, processes, mounts."""
    found = [str(p) for p in Path("/run/netns").glob(f"{NAME}*")]
    found += [str(p) for p in Path("/sys/class/net").glob(f"{NAME}-ground")]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob(f"**/fullrank-ground-{NAME}")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{NAME}/n" in line]
    return found


@pytest.fixture(scope="module", autouse=True)
def two_nodes() -> Iterator[None]:
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    ground("down")
    ground("up", "2")
    yield
    ground("down")
    assert traces() == []
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forwarding
    ground("down")  # safe when there is nothing


def test_nodes_are_real_systems_with_their_own_network() -> None:
    assert ground("exec", "n1", "systemctl is-system-running").strip() == "running"
    assert ground("exec", "n2", "hostname; ip -4 -o addr show eth0").split()[:1] == ["n2"]
    assert f"{NET}.12/24" in ground("exec", "n2", "ip -4 -o addr show eth0")
    assert ground("exec", "n1", "ls /sys/class/net").split() == ["eth0", "lo"]
    ground("exec", "n1", "ping -c 1 -W 2 n2")
    ground("exec", "n1", "apt-get update -qq && apt-cache show hello")


def test_docker_of_the_distribution_runs_what_an_engine_needs() -> None:
    """As engine_command renders it: the host's network, memory that may be locked."""
    # trixie has the client in a package of its own
    packages = "docker.io busybox-static $(apt-cache search --names-only '^docker-cli$' | cut -d' ' -f1)"
    install = f"DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {packages} >/dev/null 2>&1"
    ground("exec", "n1", f"apt-get update -qq && {install}")
    ground(
        "exec", "n1", "mkdir -p /image/bin && cp /bin/busybox /image/bin && tar -C /image -c . | docker import - tiny:1"
    )
    needs = "--rm --network host --ulimit memlock=-1:-1 --cap-add IPC_LOCK"
    assert "eth0" in ground("exec", "n1", f"docker run {needs} tiny:1 busybox ip link")
    limits = ground("exec", "n1", f"docker run {needs} tiny:1 busybox grep 'Max locked memory' /proc/self/limits")
    # where the machine cannot raise it, the stand-in has what was requested
    assert "unlimited" in limits or "RLIMIT_MEMLOCK" in ground("exec", "n1", "cat /var/log/lowered-rlimits")


def test_up_again_makes_only_what_is_missing() -> None:
    before = ground("exec", "n1", "cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic")
    ground("up", "3")
    assert "n3" in ground("list")
    after = ground("exec", "n1", "cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic")
    assert before == after


def test_a_cut_node_is_out_of_reach_until_it_is_healed() -> None:
    ground("cut", "n2")
    assert not reaches(f"{NET}.12")
    assert reaches(f"{NET}.11")
    assert [line.split()[3] for line in ground("list").splitlines() if line.startswith("n2")] == ["cut"]
    ground("heal", "n2")
    assert reaches(f"{NET}.12")


def test_a_limit_is_shown_and_lifted() -> None:
    ground("rate", "n1", "100mbit")
    assert "100Mbit" in ground("list")
    ground("rate", "n1", "off")
    assert "100Mbit" not in ground("list")


def test_a_node_comes_back_from_a_reboot() -> None:
    started = "systemctl show --value -p UserspaceTimestampMonotonic"
    before = ground("exec", "n1", started)
    ground("exec", "n1", "reboot", check=False)
    ground("up", "1")
    for _ in range(40):
        now = ground("exec", "n1", started, check=False)
        if now.strip().isdigit() and now != before:
            return
    pytest.fail("n1 did not come back")


def test_a_node_that_does_not_exist_is_reported() -> None:
    assert "there is no node n9: known are n1, n2, n3" in ground("rate", "n9", "1gbit", check=False)


def test_down_after_a_crash_of_a_node_leaves_nothing() -> None:
    for cgroup in Path("/sys/fs/cgroup").glob(f"**/fullrank-ground-{NAME}/n3"):
        (cgroup / "cgroup.kill").write_text("1")
    assert [line.split()[2] for line in ground("list").splitlines() if line.startswith("n3")] == ["off"]
    ground("down")
    assert traces() == []
    ground("up", "1")
