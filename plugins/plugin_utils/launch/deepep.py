# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What DeepEP needs of a node and of a container beside GPUs, and what of it is missing, as far as nodes were asked.

Between nodes it talks by NVSHMEM over RDMA with IBGDA: the GPU itself rings the doorbell of the NIC. Sources: DeepEP's
third-party/README.md (driver options, or GDRCopy with its module gdrdrv; DeepEP pull 201 and 295), the notes of NVSHMEM 3.4.5
(from then on the CPU helps where neither is there, which is slower; https://github.com/NVIDIA/nvshmem/issues/34 and 23),
https://github.com/sgl-project/sglang/issues/12533 (without --privileged NVSHMEM stopped on GB200; which permission it lacked is
not known).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.rank_env import uses_deepep

OPTIONS = 'options nvidia NVreg_EnableStreamMemOPs=1 NVreg_RegistryDwords="PeerMappingOverride=1;"'


def check(request: Request, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings about a launch with DeepEP over nodes."""
    if request.nnodes == 1 or request.device != "cuda" or not uses_deepep(request, values):
        return
    where = next((name for name in ("all2all_backend", "moe_a2a_backend", "enable_deepep_moe") if values.get(name)), "")
    place = f"{request.variable('engine_args')}.{where}" if where else f"{request.variable('env')}.VLLM_ALL2ALL_BACKEND"
    if request.is_container and request.hardware.get("ibgda") is not None and not request.rdma:
        message = "DeepEP talks to other nodes by RDMA, and this node has no RDMA device to pass to the container"
        yield warned(
            "deepep-without-rdma", place, message, "use another backend, or see the preflight's findings about RDMA"
        )
    known = request.hardware.get("ibgda")
    if isinstance(known, Mapping) and not (known.get("gdrdrv") or known.get("driver_options")):
        message = (
            "GPUs may not ring the doorbells of NICs: the driver was loaded without EnableStreamMemOPs and PeerMappingOverride, "
            "and there is no /dev/gdrdrv. NVSHMEM before 3.4.5 stops, later ones go by the CPU, which is slower"
        )
        yield warned(
            "deepep-host-options",
            place,
            message,
            f"write '{OPTIONS}' into a file of /etc/modprobe.d, and reboot the node",
        )
    if request.is_container and "GB200" in str(request.hardware.get("gpu", "")).upper():
        message = (
            "on GB200 NVSHMEM is reported to stop without --privileged (sglang#12533); what it lacked is not known"
        )
        yield warned("deepep-unprivileged", place, message, "try it first; the runtime process needs no container")
