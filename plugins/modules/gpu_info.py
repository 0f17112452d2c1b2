#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: The NVIDIA GPUs of a node, as they are
version_added: 0.1.0
description:
  - Reads C(nvidia-smi -q -x), C(nvidia-smi topo -m), the compute capability, and what sysfs and C(/proc) hold about the
    same devices, and returns it under plain keys. It decides nothing and sets no facts.
  - A node without C(nvidia-smi) has no GPUs; this is no error. RV(pci_gpus) shows whether there are
    cards without a driver.
options:
  root:
    description:
      - Where the node's files are. With another value than V(/) a recorded node is read, and instead of running
        a command its recorded output C(<root>/commands/<the words of the command>).
    type: path
    default: /
  timeout:
    description:
      - Seconds that C(nvidia-smi) may take. It hangs when a GPU has fallen off the bus; then no GPUs are returned and
        RV(nvidia_smi.rc) is 124.
    type: int
    default: 60
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.rdma_info
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Know the GPUs
  fullrank.serving.gpu_info:
  register: gpu

- name: Say what there is
  ansible.builtin.debug:
    msg: "{{ gpu.gpus | length }} x {{ gpu.gpus[0].name }}, driver {{ gpu.driver_version }}"
  when: gpu.gpus | length > 0
"""

RETURN = r"""
gpus:
  description: One entry per GPU, in the order and with the numbers of C(nvidia-smi).
  returned: always
  type: list
  elements: dict
  contains:
    index:
      description: Number of the GPU.
      type: int
      sample: 0
    uuid:
      description: UUID.
      type: str
      sample: GPU-513536b6-7d19-9063-b049-1e69664bb298
    name:
      description: Product name.
      type: str
      sample: NVIDIA A100-SXM4-80GB
    architecture:
      description: Architecture.
      type: str
      sample: Ampere
    compute_capability:
      description: From the driver, or by the product's name where the driver is too old to report it.
      type: str
      sample: "8.0"
    pci_address:
      description: Address in the kernel's spelling.
      type: str
      sample: "0000:0f:00.0"
    pci_path:
      description: Host bridge and PCI functions down to the GPU.
      type: list
      elements: str
      sample: ["pci0000:0c", "0000:0c:01.0", "0000:0f:00.0"]
    numa_node:
      description: NUMA node; null where the firmware names none.
      type: int
      sample: 0
    minor_number:
      description: Number in C(/dev/nvidia<N>).
      type: int
      sample: 0
    memory_total_mib:
      description: Memory in MiB.
      type: int
      sample: 81920
    memory_used_mib:
      description: Memory in use in MiB.
      type: int
      sample: 4
    persistence_mode:
      description: V(Enabled) or V(Disabled).
      type: str
      sample: Enabled
    compute_mode:
      description: Compute mode.
      type: str
      sample: Default
    mig_mode:
      description: V(Enabled), V(Disabled) or V(N/A).
      type: str
      sample: Disabled
    mig_pending:
      description: MIG mode after the next reset.
      type: str
      sample: Disabled
    mig_devices:
      description: MIG devices with their memory.
      type: list
      elements: dict
    virtualization_mode:
      description: V(None), V(Pass-Through) and others.
      type: str
      sample: "None"
    fabric_state:
      description: NVLink fabric - V(Not Started), V(In Progress), V(Completed) or V(N/A).
      type: str
      sample: Completed
    fabric_status:
      description: V(Success) or the error, once RV(gpus[].fabric_state) is V(Completed).
      type: str
      sample: Success
    fabric_clique_id:
      description: NVLink clique.
      type: int
      sample: 0
    fabric_cluster_uuid:
      description: NVLink cluster.
      type: str
    ecc_mode:
      description: V(Enabled), V(Disabled) or V(N/A).
      type: str
      sample: Enabled
    ecc_pending:
      description: ECC mode after the next reset.
      type: str
      sample: Enabled
    ecc_uncorrectable_volatile:
      description: Uncorrectable errors since the driver was loaded.
      type: int
      sample: 0
    remapped_rows_pending:
      description: A row remapping waits for a reset of the GPU.
      type: bool
      sample: false
    remapped_rows_failure:
      description: A row could not be remapped; the GPU must be replaced.
      type: bool
      sample: false
    recovery_action:
      description: The action that the driver recommends.
      type: str
    processes:
      description: Processes that hold memory - C(pid), C(type), C(name), C(used_mib).
      type: list
      elements: dict
driver_version:
  description: Version of the driver; null without one.
  returned: always
  type: str
  sample: 570.86.15
cuda_version:
  description: Highest CUDA version that the driver serves.
  returned: always
  type: str
  sample: "12.8"
topology:
  description:
    - The matrix of C(nvidia-smi topo -m). C(links) holds for each GPU its link to each other GPU and HCA as printed,
      C(cpu_affinity) and C(numa_affinity) the last columns.
  returned: always
  type: dict
  sample: {links: {GPU0: {GPU1: NV18, mlx5_0: PIX}}, cpu_affinity: {GPU0: 0-47}, numa_affinity: {GPU0: 0}}
nvidia_smi:
  description: How C(nvidia-smi -q -x) ended.
  returned: always
  type: dict
  contains:
    found:
      description: Whether it is installed.
      type: bool
      sample: true
    rc:
      description: Its exit status; null where it is not installed.
      type: int
      sample: 0
    message:
      description: What is wrong, in its own words; empty where nothing is.
      type: str
      sample: ""
kernel_module:
  description: The loaded kernel module - C(version), and C(kind) V(open) or V(proprietary); null where none is loaded.
  returned: always
  type: dict
  sample: {version: 570.86.15, kind: open}
pci_gpus:
  description: PCI addresses of all NVIDIA GPUs on the bus, with or without a driver.
  returned: always
  type: list
  elements: str
  sample: ["0000:0f:00.0"]
pci_nvswitches:
  description: PCI addresses of NVSwitches. Where there are any, the GPUs need the Fabric Manager.
  returned: always
  type: list
  elements: str
  sample: []
virtual_machine:
  description: Whether the node is a guest of a hypervisor; PCI distances are not real there.
  returned: always
  type: bool
  sample: false
imex_channels:
  description: Channels by which GPUs of an NVL72 rack reach the memory of other nodes, in C(/dev/nvidia-caps-imex-channels).
  returned: always
  type: list
  elements: str
  sample: [channel0]
ibgda:
  description: What lets GPUs ring the doorbells of NICs, which DeepEP uses between nodes.
  returned: always
  type: dict
  contains:
    gdrdrv:
      description: Whether GDRCopy's module is loaded (C(/dev/gdrdrv)).
      type: bool
      sample: false
    driver_options:
      description: Whether the driver was loaded with C(EnableStreamMemOPs) and C(PeerMappingOverride).
      type: bool
      sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.gpu import collect


def main() -> None:
    module = AnsibleModule(
        argument_spec={"root": {"type": "path", "default": "/"}, "timeout": {"type": "int", "default": 60}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **collect(Host(module.params["root"], module.params["timeout"])))


if __name__ == "__main__":
    main()
