# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings on the NCCL environment a human wrote: ``nccl_lint``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    FAIL,
    INFO,
    WARN,
    Finding,
    finding,
    unique,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port, read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.gid import pinned_choice, pinned_index
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint_names import Surroundings, name_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint_values import to_int, value_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import pinned_ports
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.values import as_env_value
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import VARIABLES, Variable
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import (
    GID_AUTOSELECT,
    Version,
    parse_version,
    version_text,
)

HOPPER = (9, 0)
MAX_SOCKETS = 64
"""NCCL_SOCKET_NTHREADS x NCCL_NSOCKS_PERTHREAD, NCCL user guide and src/transport/net_socket.cc."""
LARGE_BUFFER = 4 * 4194304
"""Four times NCCL's default. No limit is documented; a too large one failed with "ibv_reg_dmabuf_mr … Cannot allocate
memory" in github.com/vllm-project/vllm/issues/19613."""


@dataclass(frozen=True)
class Case:
    """One environment under the lint.

    ``ports``: those that are used, by this environment or by what is derived beside it; empty where not known.
    """

    env: Mapping[str, str]
    version: Version | None
    node: Node
    where: str
    gate_run: bool
    ports: Sequence[Port]

    @property
    def link_layers(self) -> set[str]:
        """Those of the node's ports, empty where not known."""
        return {p.link_layer for p in self.node.ports if p.link_layer and p.state in ("ACTIVE", "")}

    def number(self, name: str) -> int | None:
        return to_int(self.env.get(name, ""))

    def find(self, severity: str, code: str, name: str, message: str, remedy: str) -> Finding:
        return finding(severity, code, f"{self.where}.{name}", message, remedy)


def nccl_lint(env: Any, context: Mapping[str, Any] | None = None) -> list[Finding]:
    """Everything questionable in ``env``, worst first.

    ``env``: a mapping of variables, or the text of an nccl.conf. ``context``, all optional: ``nccl_version``;
    ``facts``, one node's facts in the shape ``nccl_env`` takes; ``peers``, the addresses of the other ranks, an empty list
    for a deployment on one node; ``where``, the path the findings name (default ``env``); ``gate_run``, true where verbose
    logging is wanted.
    """
    raw = context if isinstance(context, Mapping) else {}
    node = read_node("", raw.get("facts"))
    version = parse_version(raw.get("nccl_version"))
    where = str(raw.get("where") or "env")
    peers = [str(p) for p in raw["peers"]] if isinstance(raw.get("peers"), list | tuple) else None
    return lint_env(env, node, version, where, gate_run=raw.get("gate_run") is True, peers=peers)


def lint_env(
    env: Any,
    node: Node,
    version: Version | None,
    where: str,
    *,
    gate_run: bool,
    peers: Collection[str] | None = None,
    ports: Sequence[Port] | None = None,
) -> list[Finding]:
    """``nccl_lint`` with its context already read. ``ports``: those that are used where ``env`` does not name them."""
    findings: list[Finding] = []
    if isinstance(env, str):
        env = parse_conf(env)
    if not isinstance(env, Mapping):
        return [finding(FAIL, "not-a-mapping", where, "the environment is no mapping", "write VARIABLE: value pairs")]
    clean: dict[str, str] = {}
    for name, value in env.items():
        text = as_env_value(value)
        if text is None or not isinstance(name, str):
            findings.append(_no_scalar(f"{where}.{name}", value))
        else:
            clean[name] = text
    if ports is None:
        ports = pinned_ports(node, clean.get("NCCL_IB_HCA", "")).ports
    case = Case(clean, version, node, where, gate_run, ports)
    for name, text in clean.items():
        findings += value_findings(name, text, version, f"{where}.{name}")
        findings += name_findings(name, text, Surroundings(node, version, peers), f"{where}.{name}")
    for rule in RULES:
        findings += rule(case)
    return sorted(unique(findings), key=lambda f: (FAIL, WARN, INFO).index(f["severity"]))


def parse_conf(text: str) -> dict[str, str]:
    """An nccl.conf: lines ``NAME=value``, # starts a comment; ``NCCL_IB_HCA==mlx5_0`` is the value ``=mlx5_0``."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value for name, _unused, value in pairs}


def _no_scalar(where: str, value: Any) -> Finding:
    hint = "write 1 or 0 instead of true or false" if isinstance(value, bool) else "write one string or number"
    return finding(FAIL, "not-a-scalar", where, f"{type(value).__name__} is no value for the environment", hint)


def _gid_index(case: Case) -> Iterator[Finding]:
    name = "NCCL_IB_GID_INDEX"
    index = case.number(name)
    if index is None or index < 0:
        return
    if case.link_layers == {"InfiniBand"}:
        yield case.find(INFO, "gid-ignored", name, "InfiniBand ports ignore the GID index", "remove it")
    elif case.version is None or case.version >= GID_AUTOSELECT:
        yield case.find(
            WARN,
            "gid-pinned",
            name,
            f"index {index} is pinned, but NCCL selects the RoCE v2 GID of each device itself since 2.21; the index "
            "differs between devices and changes over reboots",
            "remove it; with an older NCCL leave it to nccl_env, which reads the index on every node",
        )
    for severity, code, message, remedy in pinned_index(case.ports, index):
        yield case.find(severity, code, name, message, remedy)
    ignored = [n for n in ("NCCL_IB_ADDR_FAMILY", "NCCL_IB_ADDR_RANGE", "NCCL_IB_ROCE_VERSION_NUM") if n in case.env]
    if ignored:
        yield case.find(INFO, "gid-overrides", name, f"a pinned index makes {', '.join(ignored)} void", "keep only one")


def _gid_choice(case: Case) -> Iterator[Finding]:
    """Family and range by which NCCL selects GIDs, against the GIDs that the ports have."""
    index = case.number("NCCL_IB_GID_INDEX")
    if index is not None and index >= 0:
        return
    family, network = case.env.get("NCCL_IB_ADDR_FAMILY", ""), case.env.get("NCCL_IB_ADDR_RANGE", "")
    for name, message, remedy in pinned_choice(case.ports, family, network):
        if name in case.env:
            yield case.find(FAIL, "gid-pin-excludes", name, message, remedy)


def _contradictions(case: Case) -> Iterator[Finding]:
    if case.number("NCCL_IB_DISABLE") == 1:
        if "NCCL_IB_HCA" in case.env:
            yield case.find(
                FAIL,
                "contradiction",
                "NCCL_IB_DISABLE",
                "RDMA is disabled, yet NCCL_IB_HCA names devices: sockets will be used and the list ignored",
                "remove NCCL_IB_DISABLE where RDMA is meant, else remove NCCL_IB_HCA",
            )
        if case.env.get("NCCL_NET", "").upper() == "IB":
            yield case.find(
                FAIL,
                "contradiction",
                "NCCL_IB_DISABLE",
                "RDMA is disabled, yet NCCL_NET=IB demands it: NCCL will not start",
                "remove one of the two",
            )
    if case.number("NCCL_MNNVL_ENABLE") == 1 and case.number("NCCL_CUMEM_ENABLE") == 0:
        yield case.find(
            FAIL,
            "contradiction",
            "NCCL_MNNVL_ENABLE",
            "multi-node NVLink needs cuMem, which NCCL_CUMEM_ENABLE=0 turns off",
            "remove NCCL_CUMEM_ENABLE, and check that the IMEX domain of these nodes is up",
        )
    fifo, tc = case.env.get("NCCL_IB_FIFO_TC"), case.env.get("NCCL_IB_TC")
    if fifo is not None and tc is None:
        yield case.find(
            INFO,
            "fifo-without-tc",
            "NCCL_IB_FIFO_TC",
            "control messages get a traffic class while the data keeps class 0",
            "set NCCL_IB_TC too, or use a site profile",
        )


def _sockets(case: Case) -> Iterator[Finding]:
    threads, sockets = case.number("NCCL_SOCKET_NTHREADS"), case.number("NCCL_NSOCKS_PERTHREAD")
    if threads and sockets and threads * sockets > MAX_SOCKETS:
        yield case.find(
            FAIL,
            "too-many-sockets",
            "NCCL_SOCKET_NTHREADS",
            f"{threads} threads x {sockets} sockets is {threads * sockets}; NCCL allows {MAX_SOCKETS}",
            "write 4 and 4, which is NVIDIA's hint for 100 Gbit/s",
        )


def _network(case: Case) -> Iterator[Finding]:
    net = case.env.get("NCCL_NET", "")
    if net and net.lower() != "socket" and case.node.has_rdma_facts and not case.node.hca_names:
        yield case.find(
            FAIL,
            "net-without-rdma",
            "NCCL_NET",
            f"NCCL_NET={net} demands a network this node has not (no RDMA device): NCCL will not start",
            "remove it, or bring the RDMA devices up (ls /sys/class/infiniband)",
        )


def _nvls(case: Case) -> Iterator[Finding]:
    name, value = "NCCL_NVLS_ENABLE", case.number("NCCL_NVLS_ENABLE")
    if value is None:
        return
    gpus = [g for g in case.node.gpus if g.compute_capability]
    if value == 0 and gpus and all(g.compute_capability < HOPPER for g in gpus):
        yield case.find(
            INFO,
            "no-op",
            name,
            f"NVLink SHARP exists from Hopper on; 0 changes nothing on {gpus[0].name or 'this GPU'}",
            "remove it",
        )
    if value == 2 and case.version and (2, 27) <= case.version < (2, 29):
        yield case.find(
            INFO,
            "nvls-fallback",
            name,
            f"NCCL {version_text(case.version)} falls back in silence when NVLS cannot be allocated, and hangs when "
            "that happens on some ranks only",
            "use NCCL 2.29 or newer, or 0 while you look for the cause",
        )


def _noise(case: Case) -> Iterator[Finding]:
    level = case.env.get("NCCL_DEBUG", "").upper()
    if level in ("INFO", "TRACE") and not case.gate_run:
        yield case.find(
            WARN, "debug-left-on", "NCCL_DEBUG", f"{level} writes into every rank's log for ever", "write WARN"
        )
    size = case.number("NCCL_BUFFSIZE")
    if size and size > LARGE_BUFFER:
        yield case.find(
            WARN,
            "large-buffer",
            "NCCL_BUFFSIZE",
            f"{size} bytes per channel and peer must all be registered with the NIC; registration then fails with "
            "'ibv_reg_dmabuf_mr … Cannot allocate memory'",
            "remove it (the default is 4194304)",
        )
    elif size and size > 0 and size & (size - 1):
        yield case.find(
            WARN, "odd-buffer", "NCCL_BUFFSIZE", f"{size} is no power of two", "write a power of two, or remove it"
        )
    address = case.env.get("NCCL_RAS_ADDR", "")
    if address and not address.startswith(("localhost:", "127.", "[::1]")):
        yield case.find(
            WARN,
            "ras-exposed",
            "NCCL_RAS_ADDR",
            f"{address} offers NCCL's status service to the network, without a key",
            "write localhost:PORT and ask on the node itself",
        )


def _defaults(case: Case) -> Iterator[Finding]:
    for name, value in case.env.items():
        if name in VARIABLES and _is_default(VARIABLES[name], case.version, value):
            yield case.find(INFO, "default-value", name, f"{value} is NCCL's default", "remove it")


def _is_default(variable: Variable, version: Version | None, value: str) -> bool:
    """False where the default depends on the fabric, or on a version that is not known."""
    values = {d.value for d in variable.defaults}
    if any(d.kind for d in variable.defaults) or (version is None and len(values) > 1):
        return False
    return variable.default(version) == value


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _gid_index,
    _gid_choice,
    _contradictions,
    _sockets,
    _network,
    _nvls,
    _noise,
    _defaults,
)
