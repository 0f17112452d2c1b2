# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NCCL's environment variables as data: since when, which values, which defaults.

Source of every row: NCCL user guide, docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html (read at 2.30), and
where a row has "src" NVIDIA/nccl src/transport/net_ib. An empty version means "always". These are the documented ones;
which variables a release reads at all is in `known`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version


@dataclass(frozen=True)
class Default:
    """A default from a version on; ``kind`` narrows it to ``infiniband``, ``roce``, ``aws`` or ``gvnic``."""

    value: str
    since: Version = ()
    kind: str = ""


@dataclass(frozen=True)
class Variable:
    """One variable.

    ``low``/``high``: inclusive range of an integer; ``unset``: the number that stands for "not set" in NCCL's source.
    ``choices``: all values (``fold``: in any case). ``pattern``: a regular expression of all values. ``grammar``: how
    lists and words are checked: "hca", "interface" (lists with ^ and =), "path", "level" (a PCI distance), "algorithms",
    "protocols". ``debug``: documented for experiments and debugging only. ``removed``: from this version on it does
    nothing; ``successor`` names what does.
    """

    name: str
    since: Version = ()
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    fold: bool = False
    pattern: str = ""
    grammar: str = ""
    defaults: tuple[Default, ...] = ()
    debug: bool = False
    removed: Version = ()
    successor: str = ""
    unset: int | None = None

    @property
    def is_integer(self) -> bool:
        return self.low is not None

    def default(self, version: Version | None, kind: str = "") -> str | None:
        """The default in ``version`` (None: the newest) on a fabric of ``kind``; None where NCCL documents none."""
        fitting = [d for d in self.defaults if d.kind in ("", kind) and (version is None or d.since <= version)]
        exact = [d for d in fitting if d.kind == kind]
        return (exact or fitting)[-1].value if fitting else None


def _int(
    name: str,
    low: int,
    high: int | None,
    default: str | tuple[Default, ...] = "",
    since: Version = (),
    *,
    debug: bool = False,
    removed: Version = (),
    successor: str = "",
) -> Variable:
    rows = (Default(default),) if isinstance(default, str) and default else default
    return Variable(
        name=name,
        since=since,
        low=low,
        high=high,
        defaults=rows if isinstance(rows, tuple) else (),
        debug=debug,
        removed=removed,
        successor=successor,
    )


def _switch(name: str, default: str = "", since: Version = (), *, debug: bool = False) -> Variable:
    return _int(name, 0, 1, default, since, debug=debug)


_SUBSYSTEMS = (
    "INIT|COLL|P2P|SHM|NET|GRAPH|TUNING|ENV|ALLOC|ALLOC_HOST|CALL|PROXY|NVLS|BOOTSTRAP|REG|PROFILE|RAS|DESTROY|ALL"
)
_POLICIES = "DEFAULT|EFFICIENCY|ZERO"
_LEVELS = ("LOC", "NVL", "NVB", "C2C", "PIX", "PXB", "P2C", "PXN", "PHB", "SYS")
"""All words that NCCL takes, not only the documented ones: src, graph/topo.cc, topoPathTypeStr, up to PATH_SYS."""
LEVELS_SINCE: Mapping[str, Version] = {"C2C": (2, 26), "P2C": (2, 27)}

_ROWS = (
    # sockets and bootstrap
    Variable("NCCL_SOCKET_IFNAME", grammar="interface"),
    Variable("NCCL_SOCKET_FAMILY", choices=("AF_INET", "AF_INET6")),
    _int("NCCL_SOCKET_RETRY_CNT", 1, None, "34", (2, 24)),
    _int("NCCL_SOCKET_RETRY_SLEEP_MSEC", 1, None, "100", (2, 24)),
    _int("NCCL_SOCKET_POLL_TIMEOUT_MSEC", 0, None, "0", (2, 28)),
    _int(
        "NCCL_SOCKET_NTHREADS",
        1,
        16,
        (Default("1"), Default("2", kind="aws"), Default("4", (2, 5, 6), "gvnic")),
        (2, 4, 8),
    ),
    _int("NCCL_NSOCKS_PERTHREAD", 1, 64, (Default("1"), Default("8", kind="aws")), (2, 4, 8)),
    Variable("NCCL_SOCKET_MAGIC", pattern=r"|0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}"),
    _switch("NCCL_OOB_NET_ENABLE", since=(2, 23)),
    Variable("NCCL_OOB_NET_IFNAME", (2, 23)),
    _int("NCCL_UID_STAGGER_THRESHOLD", 1, None, "256", (2, 23)),
    _int("NCCL_UID_STAGGER_RATE", 1, None, "7000", (2, 23)),
    # InfiniBand and RoCE
    Variable("NCCL_IB_HCA", grammar="hca"),
    _switch("NCCL_IB_DISABLE", "0"),
    _int("NCCL_IB_TIMEOUT", 0, 31, (Default("14"), Default("18", (2, 14)), Default("20", (2, 23)))),
    _int("NCCL_IB_RETRY_CNT", 0, 7, "7", (2, 1, 15)),
    # before 2.21 the default was 0, the first table entry: RoCE v1, link-local (src)
    _int("NCCL_IB_GID_INDEX", -1, 255, (Default("0"), Default("-1", (2, 21))), (2, 1, 4)),
    Variable("NCCL_IB_ADDR_FAMILY", (2, 21), choices=("AF_INET", "AF_INET6"), defaults=(Default("AF_INET"),)),
    Variable("NCCL_IB_ADDR_RANGE", (2, 21)),
    _int("NCCL_IB_ROCE_VERSION_NUM", 1, 2, "2", (2, 21)),
    _int("NCCL_IB_SL", 0, 15, "0", (2, 1, 4)),
    _int("NCCL_IB_TC", 0, 255, "0", (2, 1, 15)),
    # no default of its own: it follows NCCL_IB_TC
    _int("NCCL_IB_FIFO_TC", 0, 255, "", (2, 22, 3)),
    _int("NCCL_IB_QPS_PER_CONNECTION", 1, 128, "1", (2, 10)),
    _int("NCCL_IB_SPLIT_DATA_ON_QPS", 0, 1, (Default("1"), Default("0", (2, 20))), (2, 18)),
    _int("NCCL_IB_PCI_RELAXED_ORDERING", 0, 2, "2", (2, 12)),
    _int("NCCL_IB_ADAPTIVE_ROUTING", 0, 1, (Default("1", kind="infiniband"), Default("0", kind="roce")), (2, 16)),
    _int("NCCL_IB_AR_THRESHOLD", 0, None, "8192", (2, 6)),
    _switch("NCCL_IB_MERGE_NICS", "1", (2, 20)),
    _switch("NCCL_IB_ECE_ENABLE", "1", (2, 23)),
    _switch("NCCL_IB_OOO_RQ", "0", (2, 30)),
    _switch("NCCL_IB_RETURN_ASYNC_EVENTS", "1", (2, 23)),
    _switch("NCCL_IB_SUBNET_AWARE_ROUTING", "0", (2, 30)),  # src, connect.cc
    _int("NCCL_IB_SUBNET_PREFIX_LEN", 0, 128, "24", (2, 30)),  # src, connect.cc
    _switch("NCCL_IB_DEVICE_PCI_ORDER", "1", (2, 29, 7)),  # src, init.cc
    Variable("NCCL_IB_CUDA_SUPPORT", removed=(2, 4), successor="NCCL_NET_GDR_LEVEL"),
    Variable("NCCL_IB_GDR_LEVEL", removed=(2, 4), successor="NCCL_NET_GDR_LEVEL"),
    # network choice and placement
    Variable("NCCL_NET", (2, 10)),
    Variable("NCCL_NET_PLUGIN", (2, 11)),
    Variable("NCCL_TUNER_PLUGIN"),
    Variable("NCCL_PROFILER_PLUGIN"),
    Variable("NCCL_ENV_PLUGIN", (2, 28)),
    _int("NCCL_CROSS_NIC", 0, 2, "2"),
    Variable("NCCL_NET_GDR_LEVEL", (2, 4), choices=_LEVELS, grammar="level"),
    _switch("NCCL_NET_GDR_READ"),
    _int("NCCL_NET_GDR_C2C", 0, 1, (Default("0"), Default("1", (2, 27))), (2, 26)),
    _switch("NCCL_NET_SHARED_BUFFERS", "1", (2, 8)),
    _switch("NCCL_NET_SHARED_COMMS", "1", (2, 12)),
    Variable("NCCL_NET_MERGE_POLICY", (2, 30, 5), choices=("ALL", "RAIL"), fold=True, defaults=(Default("ALL"),)),
    Variable(
        "NCCL_NETDEVS_POLICY", (2, 28), pattern=r"AUTO|ALL|MAX:[1-9][0-9]*", fold=True, defaults=(Default("AUTO"),)
    ),
    _switch("NCCL_IGNORE_NET_MISMATCH", "1", (2, 30)),
    _switch("NCCL_IGNORE_COLLNET_MISMATCH", "0", (2, 30)),
    _switch("NCCL_DMABUF_ENABLE", "1", (2, 13)),
    _switch("NCCL_IGNORE_CPU_AFFINITY", "0", (2, 4, 6)),
    Variable("NCCL_TOPO_FILE", (2, 6), grammar="path"),
    Variable("NCCL_CONF_FILE", (2, 23), grammar="path"),
    _switch("NCCL_COLLNET_ENABLE", "0", (2, 6)),
    _int("NCCL_COLLNET_NODE_THRESHOLD", 0, None, "2", (2, 9, 9)),
    _switch("NCCL_PXN_DISABLE", "0", (2, 12)),
    _int("NCCL_P2P_PXN_LEVEL", 0, 2, "2", (2, 12)),
    _int("NCCL_PXN_C2C", 0, 1, (Default("0"), Default("1", (2, 28))), (2, 27)),
    # memory and NVLink
    _int("NCCL_CUMEM_ENABLE", 0, 1, (Default("0"), Default("auto", (2, 19))), (2, 18)),
    _int("NCCL_CUMEM_HOST_ENABLE", 0, 1, (Default("0"), Default("auto", (2, 24))), (2, 23)),
    _int("NCCL_NVLS_ENABLE", 0, 2, "2", (2, 17)),
    _int("NCCL_MNNVL_ENABLE", 0, 2, "2", (2, 21)),
    Variable("NCCL_MNNVL_UUID", (2, 25)),
    _int("NCCL_MNNVL_CLIQUE_ID", -(2**31), 2**32 - 1, "", (2, 25)),
    _switch("NCCL_NVB_DISABLE", "0", (2, 11)),
    _int("NCCL_MEM_SYNC_DOMAIN", 0, 1, "1", (2, 16)),
    _int("NCCL_BUFFSIZE", 1, None, "4194304"),
    _int("NCCL_P2P_NET_CHUNKSIZE", 1, None, "131072", (2, 14)),
    _int("NCCL_P2P_LL_THRESHOLD", 0, None, "16384", (2, 14)),
    _switch("NCCL_ALLOC_P2P_NET_LL_BUFFERS", "0", (2, 14)),
    _switch("NCCL_GRAPH_REGISTER", "1", (2, 11)),
    _switch("NCCL_LOCAL_REGISTER", "1", (2, 19)),
    _switch("NCCL_LEGACY_CUDA_REGISTER", "0", (2, 24)),
    _switch("NCCL_WIN_ENABLE", "1", (2, 27)),
    # behaviour
    Variable(
        "NCCL_CTA_POLICY",
        (2, 27),
        pattern=rf"[012]|({_POLICIES})(\|({_POLICIES}))*",
        fold=True,
        defaults=(Default("DEFAULT"),),
    ),
    _int("NCCL_MIN_CTAS", 1, 64, "", (2, 17)),
    _int("NCCL_MAX_CTAS", 1, 64, "", (2, 17)),
    _int("NCCL_CGA_CLUSTER_SIZE", 0, 8, "", (2, 16)),
    _switch("NCCL_COMM_BLOCKING", "", (2, 14)),
    _switch("NCCL_RUNTIME_CONNECT", "1", (2, 22)),
    _switch("NCCL_SET_STACK_SIZE", "0", (2, 9)),
    _switch("NCCL_SET_THREAD_NAME", "0", (2, 12)),
    _switch("NCCL_GRAPH_MIXING_SUPPORT", "1", (2, 13)),
    _switch("NCCL_GRAPH_STREAM_ORDERING", "1", (2, 30)),
    _switch("NCCL_LAUNCH_ORDER_IMPLICIT", "0", (2, 26)),
    _switch("NCCL_LAUNCH_RACE_FATAL", "1", (2, 26)),
    _switch("NCCL_IPC_USE_ABSTRACT_SOCKET", "1", (2, 29)),
    _switch("NCCL_SYM_GIN_KERNELS_ENABLE", "1", (2, 29)),
    _switch("NCCL_MULTI_RANK_GPU_ENABLE", "0", (2, 30)),
    _switch("NCCL_RAS_ENABLE", "1", (2, 24)),
    Variable(
        "NCCL_RAS_ADDR",
        (2, 24),
        pattern=r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+):[0-9]{1,5}",
        defaults=(Default("localhost:28028"),),
    ),
    _int("NCCL_RAS_TIMEOUT_FACTOR", 1, None, "1", (2, 24)),
    # logging
    Variable("NCCL_DEBUG", choices=("VERSION", "WARN", "INFO", "ABORT", "TRACE"), fold=True),
    Variable("NCCL_DEBUG_FILE", (2, 2, 12), grammar="path"),
    Variable(
        "NCCL_DEBUG_SUBSYS",
        (2, 3, 4),
        pattern=rf"\^?({_SUBSYSTEMS})(,\^?({_SUBSYSTEMS}))*",
        fold=True,
        defaults=(Default("INIT,BOOTSTRAP,ENV"),),
    ),
    Variable("NCCL_DEBUG_TIMESTAMP_FORMAT", (2, 26)),
    Variable("NCCL_DEBUG_TIMESTAMP_LEVELS", (2, 26)),
    # for experiments and debugging only
    Variable("NCCL_ALGO", (2, 5), grammar="algorithms", debug=True),
    Variable("NCCL_PROTO", (2, 5), grammar="protocols", debug=True),
    _switch("NCCL_P2P_DISABLE", "0", debug=True),
    _switch("NCCL_SHM_DISABLE", "0", debug=True),
    _switch("NCCL_P2P_DIRECT_DISABLE", "0", debug=True),
    Variable("NCCL_P2P_LEVEL", (2, 3, 4), choices=_LEVELS, grammar="level", debug=True),
    # multiples of a warp: src, graph/tuning.cc, getNthreads
    Variable("NCCL_NTHREADS", choices=tuple(str(n) for n in range(64, 513, 32)), debug=True),
    _int("NCCL_MIN_NCHANNELS", 1, 32, "", (2, 5), debug=True, successor="NCCL_MIN_CTAS"),
    _int("NCCL_MAX_NCHANNELS", 1, None, "", (2, 5), debug=True, successor="NCCL_MAX_CTAS"),
    Variable(
        "NCCL_LAUNCH_MODE",
        (2, 1),
        choices=("PARALLEL", "GROUP"),
        fold=True,
        defaults=(Default("PARALLEL"),),
        debug=True,
    ),
    _switch("NCCL_CHECK_POINTERS", "0", (2, 2, 12), debug=True),
    Variable(
        "NCCL_CHECK_MODE",
        (2, 29, 7),
        choices=("DEFAULT", "DEBUG_LOCAL", "DEBUG_GLOBAL"),
        fold=True,
        defaults=(Default("DEFAULT"),),
        debug=True,
    ),
    Variable("NCCL_TOPO_DUMP_FILE", (2, 6), grammar="path", debug=True),
    # still read: src, graph/connect.cc
    Variable("NCCL_MIN_NRINGS", successor="NCCL_MIN_CTAS"),
    Variable("NCCL_MAX_NRINGS", successor="NCCL_MAX_CTAS"),
    Variable("NCCL_CHECKS_DISABLE", removed=(2, 2, 12), successor="NCCL_CHECK_MODE"),
    Variable("NCCL_SINGLE_RING_THRESHOLD", removed=(2, 3)),
    Variable("NCCL_LL_THRESHOLD", removed=(2, 5), successor="NCCL_PROTO"),
    Variable("NCCL_TREE_THRESHOLD", removed=(2, 5), successor="NCCL_ALGO"),
)

_UNSET = {
    **dict.fromkeys(("NCCL_BUFFSIZE", "NCCL_CUMEM_ENABLE", "NCCL_IB_ADAPTIVE_ROUTING", "NCCL_IB_AR_THRESHOLD"), -2),
    **dict.fromkeys(("NCCL_MAX_NCHANNELS", "NCCL_MIN_NCHANNELS", "NCCL_NET_GDR_READ", "NCCL_NET_SHARED_BUFFERS"), -2),
    **dict.fromkeys(("NCCL_NSOCKS_PERTHREAD", "NCCL_SOCKET_NTHREADS"), -2),
    **dict.fromkeys(("NCCL_CUMEM_HOST_ENABLE", "NCCL_IB_FIFO_TC", "NCCL_IB_SL", "NCCL_IB_TC"), -1),
}
"""The defaults of NCCL_PARAM in the source at 2.30.7 that mean "decide yourself" and lie outside the documented range."""

VARIABLES: Mapping[str, Variable] = {row.name: replace(row, unset=_UNSET.get(row.name)) for row in _ROWS}

PLUGIN_PREFIXES = ("NCCL_FASTRAK_", "NCCL_GPUDIRECTTCPX_", "NCCL_OFI_", "NCCL_UCX_", "NCCL_SHARP_")
"""Variables that network plugins read, not NCCL: no findings about them."""


def default_of(name: str, version: Version | None, kind: str = "") -> str | None:
    """NCCL's own default of ``name``, None where it has none or the variable is unknown."""
    variable = VARIABLES.get(name)
    return variable.default(version, kind) if variable else None
