# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of one node, and the values of it that must be equal on all nodes.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, warned
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci_topology, system
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import gpu
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import address, engine, ours
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import gpu as preflight_gpu
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import network as preflight_network
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import system as preflight_system
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import facts
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.names import of_rank

SYSTEM = (
    ours.check_root,
    ours.check_leftovers,
    preflight_system.check_os,
    preflight_system.check_kernel,
    preflight_system.check_secure_boot,
    preflight_system.check_space,
    preflight_system.check_memlock,
)
GPU = (
    preflight_gpu.check_driver,
    preflight_gpu.check_gpus,
    preflight_gpu.check_fabric,
    preflight_gpu.check_gpu_memory,
    preflight_gpu.check_gpudirect,
    pci_topology.check_pci,
)
NETWORK = (
    preflight_network.check_interface,
    preflight_network.check_ports,
    preflight_network.check_peers,
    preflight_network.check_rdma,
)
ENGINE = (engine.check_engine, engine.check_image, engine.check_files)


def run(host: Host, wanted: dict[str, Any]) -> dict[str, Any]:
    """``{"checks": [...], "node": {...}}``; see the documentation of ``fullrank.serving.preflight``."""
    gpus, network = gpu.collect(host), facts.collect(host)
    wanted, unsettled = _settle(host, network, _with_own_unit(wanted))
    checks = [found for function in SYSTEM for found in _guarded(function, host, wanted)]
    checks += [found for function in GPU for found in _guarded(function, host, gpus, wanted)]
    checks += [*unsettled, *(found for function in NETWORK for found in _guarded(function, host, network, wanted))]
    checks += [found for function in ENGINE for found in _guarded(function, host, wanted)]
    image_id = next((check["data"].get("image_id") for check in checks if check["code"] == "image"), None)
    return {"checks": checks, "node": _comparable(host, wanted, gpus, network, image_id)}


def _with_own_unit(wanted: dict[str, Any]) -> dict[str, Any]:
    """What the deployment's own unit or container holds is no fault."""
    own = of_rank(wanted["deployment"]) if wanted["deployment"] else []
    return {**wanted, "own": [*wanted["own"], *own]}


def _settle(host: Host, network: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    try:
        return address.settle(host, network, wanted)
    except Exception as error:
        return wanted, [_stumbled("interface", "addresses", error)]


def _guarded(function: Callable[..., list[Finding]], *arguments: Any) -> list[Finding]:
    """One check that stumbles over something unheard of must not take the other forty findings with it."""
    try:
        return function(*arguments)
    except Exception as error:
        name = function.__name__
        return [_stumbled(name.replace("check_", "").replace("_", "-"), name, error)]


def _stumbled(code: str, where: str, error: Exception) -> Finding:
    message = f"the check itself failed: {type(error).__name__}: {error}"
    return warned(code, where, message, "report it with the output of the fact modules")


def _comparable(
    host: Host, wanted: dict[str, Any], gpus: dict[str, Any], network: dict[str, Any], image_id: str | None
) -> dict[str, Any]:
    used = preflight_gpu.used_gpus(gpus, wanted)
    netdev = preflight_network.interface_of(network, wanted["address"])
    ports = [port for hca in network["hcas"] if not hca["nvswitch_management"] for port in hca["ports"]]
    release = system.os_release(host)
    return {
        "deployment": wanted["deployment"],
        "os": f"{release.get('ID', '')} {release.get('VERSION_ID', '')}".strip() or None,
        "kernel": system.running_kernel(host) or None,
        "clock": {"started": host.started, "ended": host.now()},
        "mtu": netdev["mtu"] if netdev else None,
        "speed_mbps": netdev["speed_mbps"] if netdev else None,
        "gpu_count": len(used),
        "gpu_kinds": sorted({f"{card['name']}, {card['memory_total_mib']} MiB" for card in used}),
        "driver_version": gpus["driver_version"],
        "rdma_active": sorted(
            f"{port['link_layer']} {port['rate_gbps']:g} Gbit/s"
            for port in ports
            if port["state"] == "ACTIVE" and port["rate_gbps"]
        ),
        "image_id": image_id,
        "versions": {
            **engine.installed_versions(host, wanted["engine_venv"]),
            **(engine.python_version(host, wanted["engine_venv"]) if wanted["ray"] else {}),
            **(wanted["versions"] or {}),
        },
    }
