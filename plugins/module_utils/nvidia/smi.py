# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi prints, as values. Text in, plain dicts out; nothing here runs a command.

Three outputs are read: ``nvidia-smi -q -x`` (schemas v11 to v13, drivers 510 to 590), ``nvidia-smi topo -m`` and
``nvidia-smi --query-gpu=uuid,compute_cap --format=csv,noheader``.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from ansible_collections.fullrank.serving.plugins.module_utils.node.pci import normalize_address

# Compute capability by product, for drivers too old for the query field compute_cap (before R510).
# Source: https://developer.nvidia.com/cuda-gpus and .../cuda-legacy-gpus. The first pattern that matches counts.
_CAPABILITY_BY_NAME: tuple[tuple[str, str], ...] = (
    (r"\bG?B300\b", "10.3"),
    (r"\b(G?B200|B100)\b", "10.0"),
    (r"\bGB10\b", "12.1"),
    (r"\b(RTX PRO [0-9]+ .*Blackwell|RTX 50[0-9]0)\b", "12.0"),
    (r"\b(GH200|H100|H200|H800|H20)\b", "9.0"),
    (r"\b(L40S?|L4|L20|L2|RTX 40[0-9]0|RTX [0-9]+ Ada)\b", "8.9"),
    (r"\b(A100|A800|A30)\b", "8.0"),
    (r"\b(A10G?|A40|A16|A2|A10M|RTX A[0-9]+|RTX 30[0-9]0)\b", "8.6"),
    (r"\b(T4G?|RTX 20[0-9]0)\b", "7.5"),
    (r"\bV100\b", "7.0"),
    (r"\b(P4|P40)\b", "6.1"),
    (r"\bP100\b", "6.0"),
)
_NOT_AVAILABLE = frozenset({"", "N/A", "[N/A]", "None", "Requested functionality has been deprecated", "Unknown Error"})
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def parse_query_xml(text: str) -> dict[str, Any]:
    """``nvidia-smi -q -x`` → ``{"driver_version", "cuda_version", "gpus": [...]}``; ValueError if it is no such XML.

    The index is the position: nvidia-smi lists GPUs in PCI order and numbers them so (the minor number of the device
    file can be another one). ``compute_capability``, ``pci_path`` and ``numa_node`` are not in this output.
    """
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        raise ValueError(f"not the XML of nvidia-smi -q -x: {error}") from error
    if root.tag != "nvidia_smi_log":
        raise ValueError(f"not the XML of nvidia-smi -q -x: its root is <{root.tag}>")
    return {
        # driver 610 tells kernel mode (KMD) and user mode (UMD) apart in its table (sgl-project/sglang issue 27487)
        "driver_version": _text(root, "driver_version") or _text(root, "kmd_version"),
        "cuda_version": _text(root, "cuda_version") or _text(root, "cuda_umd_version"),
        "gpus": [_gpu(index, element) for index, element in enumerate(root.findall("gpu"))],
    }


def _gpu(index: int, gpu: ElementTree.Element) -> dict[str, Any]:
    address = _text(gpu, "pci/pci_bus_id") or gpu.get("id") or ""
    return {
        "index": index,
        "uuid": _text(gpu, "uuid"),
        "name": _text(gpu, "product_name"),
        "architecture": _text(gpu, "product_architecture"),
        "pci_address": normalize_address(address),
        "minor_number": _number(_text(gpu, "minor_number")),
        "memory_total_mib": _number(_text(gpu, "fb_memory_usage/total")),
        "memory_used_mib": _number(_text(gpu, "fb_memory_usage/used")),
        "persistence_mode": _text(gpu, "persistence_mode"),
        "compute_mode": _text(gpu, "compute_mode"),
        "mig_mode": _text(gpu, "mig_mode/current_mig") or "N/A",
        "mig_pending": _text(gpu, "mig_mode/pending_mig") or "N/A",
        "mig_devices": _mig_devices(gpu),
        "virtualization_mode": _text(gpu, "gpu_virtualization_mode/virtualization_mode") or "None",
        "fabric_state": _text(gpu, "fabric/state") or "N/A",
        "fabric_status": _text(gpu, "fabric/status") or "N/A",
        "fabric_clique_id": _number(_text(gpu, "fabric/cliqueId")),
        "fabric_cluster_uuid": _text(gpu, "fabric/clusterUuid"),
        "ecc_mode": _text(gpu, "ecc_mode/current_ecc") or "N/A",
        "ecc_pending": _text(gpu, "ecc_mode/pending_ecc") or "N/A",
        "ecc_uncorrectable_volatile": _uncorrectable(gpu),
        "remapped_rows_pending": _text(gpu, "remapped_rows/remapped_row_pending") == "Yes",
        "remapped_rows_failure": _text(gpu, "remapped_rows/remapped_row_failure") == "Yes",
        "recovery_action": _text(gpu, "gpu_recovery_action"),
        "processes": [_process(element) for element in gpu.findall("processes/process_info")],
    }


def _process(element: ElementTree.Element) -> dict[str, Any]:
    return {
        "pid": _number(_text(element, "pid")),
        "type": _text(element, "type"),
        "name": _text(element, "process_name"),
        "used_mib": _number(_text(element, "used_memory")),
    }


def _mig_devices(gpu: ElementTree.Element) -> list[dict[str, Any]]:
    return [
        {
            "index": _number(_text(device, "index")),
            "gpu_instance_id": _number(_text(device, "gpu_instance_id")),
            "memory_total_mib": _number(_text(device, "fb_memory_usage/total")),
            "memory_used_mib": _number(_text(device, "fb_memory_usage/used")),
        }
        for device in gpu.findall("mig_devices/mig_device")
    ]


def _uncorrectable(gpu: ElementTree.Element) -> int | None:
    """Uncorrectable ECC errors since the driver was loaded; the names of the counters grew over the schemas."""
    volatile = gpu.find("ecc_errors/volatile")
    if volatile is None:
        return None
    counts = [_number((child.text or "").strip()) for child in volatile if "uncorrectable" in child.tag]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _text(element: ElementTree.Element, path: str) -> str | None:
    value = (element.findtext(path) or "").strip()
    return None if value in _NOT_AVAILABLE else value


def _number(text: str | None) -> int | None:
    """``81920 MiB`` → 81920."""
    match = re.match(r"^(\d+)\b", text or "")
    return int(match.group(1)) if match else None


def parse_compute_capabilities(text: str) -> dict[str, str]:
    """``--query-gpu=uuid,compute_cap --format=csv,noheader`` → {uuid: "9.0"}; lines of another form are left out."""
    found = {}
    for line in text.splitlines():
        uuid, _unused, capability = (part.strip() for part in line.partition(","))
        if uuid.startswith("GPU-") and re.match(r"^\d+\.\d+$", capability):
            found[uuid] = capability
    return found


def compute_capability_by_name(name: str | None) -> str | None:
    """Compute capability of a product by its name; None for one we do not know.

    >>> compute_capability_by_name("NVIDIA A100-SXM4-80GB")
    '8.0'
    """
    for pattern, capability in _CAPABILITY_BY_NAME:
        if re.search(pattern, name or "", re.IGNORECASE):
            return capability
    return None


def parse_topology(text: str) -> dict[str, Any]:
    """``nvidia-smi topo -m`` (or ``-mp``) → links and affinities; empty dicts where there is no matrix.

    ``links[a][b]`` is NV18, PIX, PXB, PHB, NODE or SYS as printed, without the diagonal, rows for GPUs only. HCAs go
    by their own name (mlx5_0), whether the matrix calls them so (drivers up to 510) or NIC0 with a legend below.
    """
    lines = [line.rstrip() for line in _ANSI.sub("", text).splitlines()]
    names = _legend(lines)
    header = next((line for line in lines if re.match(r"^\s+GPU0\b", line)), None)
    result: dict[str, Any] = {"links": {}, "cpu_affinity": {}, "numa_affinity": {}}
    if header is None:
        return result
    # "CPU Affinity", "NUMA Affinity" and "GPU NUMA ID" follow the devices, and are the only titles with a space
    columns = [names.get(word, word) for word in re.split(r"\bCPU Affinity\b", header)[0].split()]
    for line in lines:
        words = line.split()
        if not words or not re.match(r"^GPU\d+$", words[0]) or len(words) <= len(columns):
            continue
        row, cells, rest = words[0], words[1 : len(columns) + 1], words[len(columns) + 1 :]
        result["links"][row] = {name: cells[i] for i, name in enumerate(columns) if cells[i] != "X"}
        if rest:
            result["cpu_affinity"][row] = rest[0]
        if len(rest) > 1 and re.match(r"^\d+$", rest[1]):
            result["numa_affinity"][row] = int(rest[1])
    return result


def _legend(lines: Iterable[str]) -> dict[str, str]:
    found = (re.match(r"^\s*(NIC\d+):\s*(\S+)$", line) for line in lines)
    return {match.group(1): match.group(2) for match in found if match}


def parse_kernel_module(text: str) -> dict[str, str | None]:
    """``/proc/driver/nvidia/version`` → the loaded module's version and whether it is the open one.

    This is what the kernel runs; the installed packages may be newer until the next reboot.
    """
    match = re.search(r"^NVRM version:\s+(.*?)\s+(\d+\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    if match is None:
        return {"version": None, "kind": None}
    return {"version": match.group(2), "kind": "open" if "Open Kernel Module" in match.group(1) else "proprietary"}
