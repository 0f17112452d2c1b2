"""All checks of one node, and the values of it that must be equal on all nodes.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils import (
    gpu,
    preflight_gpu,
    preflight_network,
    preflight_system,
    rdma,
)
from ansible_collections.fullrank.serving.plugins.module_utils.checks import Check, passed, skipped, warned
from ansible_collections.fullrank.serving.plugins.module_utils.host import Host

SYSTEM = (
    preflight_system.check_os,
    preflight_system.check_kernel,
    preflight_system.check_secure_boot,
    preflight_system.check_clock,
    preflight_system.check_space,
    preflight_system.check_memlock,
)
GPU = (
    preflight_gpu.check_driver,
    preflight_gpu.check_gpus,
    preflight_gpu.check_fabric,
    preflight_gpu.check_gpu_memory,
    preflight_gpu.check_gpudirect,
    preflight_gpu.check_pci,
)
NETWORK = (
    preflight_network.check_interface,
    preflight_network.check_ports,
    preflight_network.check_peers,
    preflight_network.check_rdma,
)
# distributions whose versions must be equal on all ranks, as their metadata folders are called
DISTRIBUTIONS = ("vllm", "sglang", "lmdeploy", "ray", "torch", "nvidia_nccl_cu12", "nvidia_nccl_cu13", "transformers")


def run(host: Host, wanted: dict[str, Any]) -> dict[str, Any]:
    """``{"checks": [...], "node": {...}}``; see the documentation of ``fullrank.serving.preflight``."""
    gpus, network = gpu.collect(host), rdma.collect(host)
    checks = [found for function in SYSTEM for found in _guarded(function, host, wanted)]
    checks += [found for function in GPU for found in _guarded(function, host, gpus, wanted)]
    checks += [found for function in NETWORK for found in _guarded(function, host, network, wanted)]
    image, image_id = _image(host, wanted)
    checks.append(image)
    return {"checks": checks, "node": _comparable(host, wanted, gpus, network, image_id)}


def _guarded(function: Callable[..., list[Check]], *arguments: Any) -> list[Check]:
    """One check that stumbles over something unheard of must not take the other forty findings with it."""
    try:
        return function(*arguments)
    except Exception as error:
        id = function.__name__.replace("check_", "").replace("_", "-")
        message = f"the check itself failed: {type(error).__name__}: {error}"
        return [warned(id, function.__name__, message, "report it with the output of the fact modules")]


def _image(host: Host, wanted: dict[str, Any]) -> tuple[Check, str | None]:
    """Whether the image is there, and its id: the same tag can be two images on two nodes."""
    id, image = "image", wanted["image"]
    if not image:
        return skipped(id, "image", "no image was given"), None
    result = host.run(wanted["runtime"], "image", "inspect", "--format", "{{.Id}}", image)
    if result is None or result.rc != 0:
        return skipped(id, image, f"not on this node yet ({wanted['runtime']})"), None
    image_id = result.stdout.strip()
    return passed(id, image, image_id, image_id=image_id), image_id


def _comparable(
    host: Host, wanted: dict[str, Any], gpus: dict[str, Any], network: dict[str, Any], image_id: str | None
) -> dict[str, Any]:
    used = preflight_gpu.used_gpus(gpus, wanted)
    netdev = preflight_network.interface_of(network, wanted["address"])
    ports = [port for hca in network["hcas"] if not hca["nvswitch_management"] for port in hca["ports"]]
    release = preflight_system.os_release(host)
    return {
        "os": f"{release.get('ID', '')} {release.get('VERSION_ID', '')}".strip() or None,
        "kernel": preflight_system.running_kernel(host) or None,
        "skew_s": preflight_system.clock_skew(host, wanted),
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
        "versions": {**installed_versions(host, wanted["engine_venv"]), **(wanted["versions"] or {})},
    }


def installed_versions(host: Host, venv: str | None) -> dict[str, str]:
    """Versions of the distributions in a virtual environment, by the names of their metadata folders."""
    found = {}
    for python in host.entries(f"{venv}/lib") if venv else ():
        for entry in host.entries(f"{venv}/lib/{python}/site-packages"):
            name, _, number = entry.partition("-")
            if entry.endswith(".dist-info") and name.lower() in DISTRIBUTIONS:
                found[name.lower()] = number[: -len(".dist-info")]
    return found
