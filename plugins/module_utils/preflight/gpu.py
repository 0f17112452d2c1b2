# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: GPUs, driver, NVLink fabric, GPUDirect, PCI settings.

Each function takes the node, its GPU facts and what is wanted (the module's options) and answers with checks.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    Finding,
    failed,
    passed,
    skipped,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import cuda as nvidia_cuda

DMA_BUF_KERNEL = "5.12"  # NVIDIA GPU Operator, "GPUDirect RDMA": dma-buf needs kernel 5.12 and the open kernel modules


def used_gpus(facts: dict[str, Any], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The GPUs of this deployment: all, or those of ``gpu_indexes``."""
    indexes = wanted["gpu_indexes"]
    return [gpu for gpu in facts["gpus"] if not indexes or gpu["index"] in indexes]


def required_gpus(wanted: dict[str, Any]) -> int:
    """The number of GPUs that the deployment wants of this node; 0 for one that serves without."""
    return int(wanted["gpu_count"] or len(wanted["gpu_indexes"]))


def check_driver(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """Does the driver answer, and does it serve the image's CUDA."""
    smi, where = facts["nvidia_smi"], "nvidia-smi"
    if not required_gpus(wanted):
        return [skipped("driver", where, "no GPUs are requested")]
    if not smi["found"]:
        cards = len(facts["pci_gpus"])
        return [failed("driver", where, f"not installed; {cards} NVIDIA GPUs are on the bus", "install the driver")]
    if smi["message"]:
        loaded = facts["kernel_module"]["version"]
        remedy = (
            f"reboot: module {loaded} is loaded, but the libraries are of another version"
            if "version mismatch" in smi["message"]
            else "look at `dmesg | grep -i -e nvrm -e xid`; load the module or reboot"
        )
        return [failed("driver", where, smi["message"], remedy, rc=smi["rc"])]
    driver = facts["driver_version"] or "unknown"
    return [passed("driver", where, f"driver {driver}", version=driver), _cuda(driver, wanted["image_cuda"])]


def _cuda(driver: str, cuda: str | None) -> Finding:
    code, where = "driver-cuda", "image_cuda"
    minimum, own = nvidia_cuda.required(cuda or "")
    data: dict[str, Any] = {"driver": driver, "cuda": cuda, "minimum": minimum, "toolkit_driver": own}
    if minimum is None:
        return skipped(
            code, where, f"no table entry for CUDA {cuda}" if cuda else "the image's CUDA is not known", **data
        )
    if numbers(driver) < numbers(minimum):
        message = f"driver {driver} is too old for CUDA {cuda}, which needs {minimum}"
        remedy = f"install driver {own or minimum} or newer, or an image of an older CUDA"
        return failed(code, where, message, remedy, **data)
    if own and numbers(driver) < numbers(own):
        message = f"driver {driver} serves CUDA {cuda} by minor version compatibility only; its own driver is {own}"
        remedy = f"install driver {own} or newer if kernels fail with `unsupported toolchain`"
        return warned(code, where, message, remedy, **data)
    return passed(code, where, f"driver {driver} serves CUDA {cuda}", **data)


def check_gpus(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """Number, kind, partitions, health."""
    gpus, count = used_gpus(facts, wanted), required_gpus(wanted)
    if not count or facts["nvidia_smi"]["message"] or not facts["nvidia_smi"]["found"]:
        return [skipped("gpu-count", "gpus", "no GPUs are requested" if not count else "the driver does not answer")]
    checks = []
    lost = [address for address in facts["pci_gpus"] if address not in {gpu["pci_address"] for gpu in facts["gpus"]}]
    if len(gpus) < count:
        message = f"{len(gpus)} GPUs, {count} are needed"
        remedy = f"look at dmesg for Xid 79: {', '.join(lost)} is on the bus only" if lost else "correct engine_gpus"
        checks.append(failed("gpu-count", "gpus", message, remedy, found=len(gpus), wanted=count, lost=lost))
    else:
        checks.append(passed("gpu-count", "gpus", f"{len(gpus)} GPUs", found=len(gpus), wanted=count))
    checks += [_kinds(gpus), _capability(gpus, wanted["compute_capability_min"])]
    partitioned = [gpu["index"] for gpu in gpus if gpu["mig_mode"] == "Enabled"]
    if partitioned:
        message, remedy = f"MIG is on: GPUs {_list(partitioned)}", "nvidia-smi -mig 0, then reset the GPUs"
        checks.append(failed("gpu-mig", "gpus", message, remedy, gpus=partitioned))
    return [*checks, *_health(gpus)]


def _kinds(gpus: list[dict[str, Any]]) -> Finding:
    kinds = sorted({f"{gpu['name']}, {gpu['memory_total_mib']} MiB" for gpu in gpus})
    if len(kinds) > 1:
        remedy = "choose GPUs of one kind by engine_gpus"
        return failed("gpu-kind", "gpus", f"different GPUs in one node: {'; '.join(kinds)}", remedy, kinds=kinds)
    return passed("gpu-kind", "gpus", kinds[0] if kinds else "none", kinds=kinds)


def _capability(gpus: list[dict[str, Any]], minimum: str | None) -> Finding:
    code, where = "gpu-compute-capability", "gpus"
    if not minimum:
        return skipped(code, where, "no compute capability is asked for")
    weak = sorted({gpu["compute_capability"] or "unknown" for gpu in gpus if _below(gpu, minimum)})
    if weak:
        message = f"compute capability {', '.join(weak)}, {minimum} is needed"
        return failed(code, where, message, "choose a model or data type for these GPUs (FP8 needs 8.9)")
    return passed(code, where, f"at least {minimum}")


def _below(gpu: dict[str, Any], minimum: str) -> bool:
    return numbers(gpu["compute_capability"]) < numbers(minimum)


def _health(gpus: list[dict[str, Any]]) -> list[Finding]:
    dead = [gpu["index"] for gpu in gpus if gpu["remapped_rows_failure"]]
    reset = [gpu["index"] for gpu in gpus if gpu["remapped_rows_pending"] or gpu["recovery_action"]]
    errors = [gpu["index"] for gpu in gpus if gpu["ecc_uncorrectable_volatile"]]
    if dead:
        return [failed("gpu-health", "gpus", f"row remapping failed: GPUs {_list(dead)}", "have them replaced")]
    if reset or errors:
        message = f"uncorrectable errors: GPUs {_list(errors)}; waiting for a reset: GPUs {_list(reset)}"
        return [warned("gpu-health", "gpus", message, "reboot, or nvidia-smi --gpu-reset when nothing runs on them")]
    return [passed("gpu-health", "gpus", "no uncorrectable errors, no pending remapping")]


def check_fabric(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """NVLink through switches works once the Fabric Manager is done; before, CUDA fails with error 802."""
    code, gpus = "gpu-fabric", facts["gpus"]
    if not required_gpus(wanted):
        return [skipped(code, "gpus", "no GPUs are requested")]
    bad = sorted(
        {
            f"{gpu['fabric_state']}/{gpu['fabric_status']}"
            for gpu in gpus
            if gpu["fabric_state"] != "N/A" and (gpu["fabric_state"], gpu["fabric_status"]) != ("Completed", "Success")
        }
    )
    if bad:
        remedy = "systemctl status nvidia-fabricmanager; it must have the driver's exact version (B200: nvlsm runs too)"
        return [failed(code, "gpus", f"the NVLink fabric is not ready: {', '.join(bad)}", remedy, states=bad)]
    if gpus and any(gpu["fabric_state"] != "N/A" for gpu in gpus):
        return [passed(code, "gpus", "Completed, Success")]
    if not facts["pci_nvswitches"]:
        return [skipped(code, "gpus", "no NVSwitch")]
    # boards before Hopper do not report a state (A100): ask for the service
    result = host.run("systemctl", "is-active", "nvidia-fabricmanager.service")
    state = result.stdout.strip() if result else "unknown"
    if state == "active":
        return [passed(code, "nvidia-fabricmanager.service", "active")]
    message = f"{len(facts['pci_nvswitches'])} NVSwitches, but nvidia-fabricmanager is {state}"
    return [
        failed(code, "nvidia-fabricmanager.service", message, "install and enable it in the driver's exact version")
    ]


def check_gpu_memory(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """Memory that something else already holds; an engine of ours that runs is no fault."""
    code, limit = "gpu-memory", wanted["gpu_memory_used_max_mib"]
    if not required_gpus(wanted) or not facts["gpus"]:
        return [skipped(code, "gpus", "no GPUs are requested" if facts["gpus"] else "no GPUs")]
    checks = []
    for gpu in used_gpus(facts, wanted):
        used = gpu["memory_used_mib"] or 0
        holders = [listeners.of_process(host, process["pid"]) for process in gpu["processes"] if process["pid"]]
        where, data = f"GPU {gpu['index']}", {"used_mib": used, "pids": [holder.pid for holder in holders]}
        if used <= limit:
            continue
        if holders and all(holder.is_one_of(wanted["own"]) for holder in holders):
            checks.append(passed(code, where, f"{used} MiB in use, by our own engine", **data))
            continue
        who = ", ".join(str(holder) for holder in holders) or "a process that is not visible here"
        message = f"{used} MiB in use by {who}"
        checks.append(failed(code, where, message, "stop it, or give the deployment other GPUs by engine_gpus", **data))
    return checks or [passed(code, "gpus", f"no more than {limit} MiB in use")]


def check_gpudirect(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """NICs read GPU memory by dma-buf (open modules, kernel 5.12) or by nvidia_peermem; else all goes through RAM."""
    code, where = "gpudirect-rdma", "nvidia_peermem"
    if not wanted["rdma"] or not facts["gpus"]:
        return [skipped(code, where, "no RDMA between GPUs is asked for")]
    kernel = host.read("/proc/sys/kernel/osrelease") or ""
    if facts["kernel_module"]["kind"] == "open" and numbers(kernel) >= numbers(DMA_BUF_KERNEL):
        return [passed(code, "dma-buf", f"open kernel modules on kernel {kernel}")]
    if host.exists("/sys/module/nvidia_peermem"):
        return [passed(code, where, "nvidia_peermem is loaded")]
    message = "neither dma-buf (open modules, kernel 5.12) nor nvidia_peermem: NCCL will copy through memory"
    return [warned(code, where, message, "install the open kernel modules, or modprobe nvidia_peermem after OFED")]


def _list(items: list[int]) -> str:
    return ", ".join(str(item) for item in items) or "none"
