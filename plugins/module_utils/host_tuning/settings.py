# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host settings that the role host_tuning knows: what each is for, its source, and which values it takes. Data.

A key that is not here is refused, so that nothing is set on a server without a known reason.

PRIVATE to this collection.
"""

from __future__ import annotations

from dataclasses import dataclass

SYSCTL_DOC = "https://www.kernel.org/doc/html/latest/admin-guide/sysctl/"
IP_DOC = "https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html"


@dataclass(frozen=True)
class Setting:
    """``pattern``: a regular expression of the values it takes. ``why`` and ``source`` go into the file that sets it."""

    pattern: str
    why: str
    source: str


_COUNT = r"\d+"
_THREE = r"\d+[ \t]+\d+[ \t]+\d+"

SYSCTLS: dict[str, Setting] = {
    "net.core.somaxconn": Setting(
        _COUNT,
        "connections that wait for the head to accept them; a burst of clients is refused beyond it",
        f"{SYSCTL_DOC}net.html",
    ),
    "net.core.rmem_max": Setting(
        _COUNT,
        "largest receive buffer that a program may ask for: NCCL over sockets, weights over TCP",
        f"{SYSCTL_DOC}net.html",
    ),
    "net.core.wmem_max": Setting(_COUNT, "largest send buffer that a program may ask for", f"{SYSCTL_DOC}net.html"),
    "net.ipv4.tcp_rmem": Setting(
        _THREE, "least, first and largest receive buffer of a TCP connection: 100 Gbit/s over 0.5 ms hold 6 MB", IP_DOC
    ),
    "net.ipv4.tcp_wmem": Setting(_THREE, "least, first and largest send buffer of a TCP connection", IP_DOC),
    "net.ipv4.ip_local_port_range": Setting(
        r"\d+[ \t]+\d+", "ports of outgoing connections: many clients of one router, many connections of Ray", IP_DOC
    ),
    "net.ipv4.ip_local_reserved_ports": Setting(
        r"\d+(-\d+)?(,\d+(-\d+)?)*",
        "ports that no outgoing connection may take before an engine listens on them",
        IP_DOC,
    ),
    "net.ipv4.conf.all.arp_ignore": Setting(
        r"[0-8]", "several rails in one subnet: only the interface that has the address answers for it (1)", IP_DOC
    ),
    "net.ipv4.conf.all.arp_announce": Setting(
        r"[0-2]", "several rails in one subnet: an interface asks with its own address (2)", IP_DOC
    ),
    "net.ipv4.conf.all.rp_filter": Setting(
        r"[0-2]", "several rails in one subnet: a strict check drops what arrives on another rail (2 is loose)", IP_DOC
    ),
    "net.ipv4.tcp_mtu_probing": Setting(
        r"[0-2]", "connections that hang where a switch drops large packets in silence find a smaller size (1)", IP_DOC
    ),
    "kernel.numa_balancing": Setting(
        r"[0-2]",
        "the kernel moves pages between nodes under threads that are pinned anyway, and stalls them (0)",
        "https://rocm.docs.amd.com/en/latest/how-to/rocm-for-ai/inference-optimization/vllm-optimization.html",
    ),
    "vm.max_map_count": Setting(
        _COUNT, "mappings of a process: many shards of weights, each mapped by many threads", f"{SYSCTL_DOC}vm.html"
    ),
    "vm.swappiness": Setting(
        r"\d{1,3}", "page cache of weights must not push an engine's memory out to the disk", f"{SYSCTL_DOC}vm.html"
    ),
    "vm.zone_reclaim_mode": Setting(
        r"[0-7]",
        "page cache of weights may lie on the other NUMA node instead of being thrown away (0)",
        f"{SYSCTL_DOC}vm.html",
    ),
}

_RAY = "https://docs.ray.io/en/latest/cluster/vms/user-guides/large-cluster-best-practices.html"
_FRAMEWORKS = "https://docs.nvidia.com/deeplearning/frameworks/user-guide/"

# limits.conf(5) item → the same limit of services (systemd.exec(5)). memlock is not here: the role rdma owns it.
LIMITS: dict[str, tuple[str, Setting]] = {
    "nofile": (
        "DefaultLimitNOFILE",
        Setting(rf"{_COUNT}", "connections and mapped shards are files; Ray asks for 65536", _RAY),
    ),
    "nproc": (
        "DefaultLimitNPROC",
        Setting(rf"{_COUNT}|unlimited", "every rank has hundreds of threads", "limits.conf(5)"),
    ),
    "stack": ("DefaultLimitSTACK", Setting(rf"{_COUNT}|unlimited", "PyTorch's images are documented with 64 MiB", _FRAMEWORKS)),
}  # fmt: skip

GOVERNOR = Setting(
    r"[a-z_]+",
    "the processor that starts kernels and copies must not clock down between two tokens",
    "https://www.kernel.org/doc/html/latest/admin-guide/pm/cpufreq.html",
)
TRANSPARENT_HUGEPAGES = Setting(
    r"always|madvise|never",
    "large pages where a program asks for them, and no stalls where it does not (madvise)",
    "https://www.kernel.org/doc/html/latest/admin-guide/mm/transhuge.html",
)
HUGEPAGES = Setting(
    _COUNT,
    "pages set aside for what asks for them, such as the pinned pool of a KV store; nothing else can use that memory",
    "https://www.kernel.org/doc/html/latest/admin-guide/mm/hugetlbpage.html",
)
HUGEPAGE_SIZES = {"2Mi": 2048, "1Gi": 1048576}
