# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planted in the nodes of the scenario, how it is healed, and what must be found for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from testinfra.host import Host

Found = tuple[str, str, str]
"""Severity, code, and the node (or for a comparison the deployment) of a finding."""


@dataclass(frozen=True)
class Fault:
    """The commands are run on ``node``; ``{net}`` stands for the first three numbers of the ground's addresses."""

    node: str
    plant: str
    heal: str
    found: tuple[Found, ...]


FAULTS = {
    "rendezvous port taken": Fault(
        "n1",
        "systemd-run --unit=squatter --collect python3 -m http.server 29500 && "
        "timeout 20 sh -c 'until ss -Htln sport = :29500 | grep -q .; do sleep 0.1; done'",
        "systemctl stop squatter",
        (("fail", "port-free", "n1"),),
    ),
    "another name of the interface": Fault(
        "n1",
        "ip link set eth0 down && ip link set eth0 name eth1 && ip link set eth1 up && ip route add default via {net}.2",
        "ip link set eth1 down && ip link set eth1 name eth0 && ip link set eth0 up && ip route add default via {net}.2",
        (("fail", "interface", "n1"),),
    ),
    "small shared memory": Fault(
        "n1",
        "mount -o remount,size=1m /dev/shm",
        "mount -o remount,size=10% /dev/shm",
        (("fail", "shm", "n1"),),
    ),
    "unsupported operating system": Fault(
        "n1",
        "rm /etc/os-release && printf 'ID=plan9\\nVERSION_ID=4\\n' > /etc/os-release",
        "ln -sf ../usr/lib/os-release /etc/os-release",
        (("warn", "os", "n1"), ("warn", "os-equal", "three")),
    ),
    "full disk": Fault(
        "n2",
        "mkdir -p /data && mount -t tmpfs -o size=20m tmpfs /data && head -c 18m /dev/zero > /data/other",
        "umount /data",
        (("fail", "disk-space", "n2"),),
    ),
    "another MTU": Fault(
        "n2",
        "ip link set eth0 mtu 1400",
        "ip link set eth0 mtu 1500",
        (("fail", "mtu-equal", "three"), ("fail", "path-mtu", "n1")),  # what n3 sends to n2 is lost anyway
    ),
    "no engine": Fault(
        "n2",
        "mount -t tmpfs tmpfs /opt/fullrank",
        "umount /opt/fullrank",
        (("fail", "engine", "n2"),),
    ),
    "another version of the engine": Fault(
        "n3",
        "mount -t tmpfs tmpfs /opt/fullrank && "
        "mkdir -p /opt/fullrank/vllm/lib/python3/site-packages/vllm-0.31.0.dist-info",
        "umount /opt/fullrank",
        (("fail", "engine", "n3"), ("fail", "version-equal", "three")),
    ),
    "cut link between two ranks": Fault(
        "n3",
        "nft add table ip cut && nft 'add chain ip cut in { type filter hook input priority 0 ; }' && "
        "nft add rule ip cut in ip saddr {net}.12 drop",
        "nft delete table ip cut",
        (("fail", "reach", "n2"), ("fail", "reach", "n3")),
    ),
    "skewed clock": Fault(
        "n3",  # its clock is the machine's own, so it is Python on this node that sees another time
        "echo 'import time; now = time.time; time.time = lambda: now() + 120' >> /usr/lib/python3.*/sitecustomize.py",
        "sed -i '/now() + 120/d' /etc/python3.*/sitecustomize.py",
        (("fail", "clock-skew", "n3"), ("fail", "clock-equal", "three")),
    ),
    "little locked memory": Fault(
        "n3",
        "echo 'root - memlock 64' > /etc/security/limits.d/low.conf",
        "rm /etc/security/limits.d/low.conf",
        (("warn", "memlock-login", "n3"),),
    ),
}

ALL_FOUND = {one for fault in FAULTS.values() for one in fault.found}


@contextlib.contextmanager
def planted(nodes: dict[str, Host]) -> Iterator[None]:
    """All faults of the nodes, until the end."""
    net = nodes["n1"].backend.hostname.rpartition(".")[0]
    with contextlib.ExitStack() as healing:
        for fault in FAULTS.values():
            healing.callback(nodes[fault.node].check_output, fault.heal.replace("{net}", net))
            nodes[fault.node].check_output(fault.plant.replace("{net}", net))
        yield
