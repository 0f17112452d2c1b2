#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_info
short_description: What a node's GPUs need of a driver, what is installed, and what prevents the installation
version_added: 0.1.0
description:
  - Reads the GPUs, switches and bridges from PCI, the kernel, Secure Boot, the driver that is installed and the one that is
    loaded, and returns which packages, files and services make the wanted driver. It changes nothing and reads no repository.
  - Fails with all findings at once when the driver cannot be installed as it is wanted. A node without GPUs is no error.
options:
  source:
    description: Where the driver comes from.
    type: str
    choices: [repository, distribution, runfile]
    required: true
  version:
    description: The driver's version, or a branch such as V(580).
    type: str
    required: true
  kernel_modules:
    description: Which kernel modules. V(auto) takes the open ones where the GPUs allow it.
    type: str
    choices: [auto, open, proprietary]
    default: auto
  module_key_enrolled:
    description: With Secure Boot, whether the key that modules are signed with is enrolled in the firmware.
    type: bool
    default: false
  kernel_headers:
    description: Packages with kernel headers, instead of those of the running kernel.
    type: list
    elements: str
    default: []
  repositories:
    description: Address of the folder with the vendor's repositories. Other sources of them are to be put aside.
    type: str
    default: https://developer.download.nvidia.com/compute/cuda/repos
  repository_key:
    description: File name of the repository's key inside it. NVIDIA's name of it when empty.
    type: str
    default: ""
  repository_fingerprint:
    description: Fingerprint of that key. NVIDIA's for this distribution when empty.
    type: str
    default: ""
  runfile_sha256:
    description: The sha256 of the C(.run) file, needed for O(source=runfile).
    type: str
    default: ""
  imex_nodes:
    description: Addresses of all nodes of one NVL72 rack.
    type: list
    elements: str
    default: []
  not_unattended:
    description: Beginnings of the names of packages that unattended upgrades leave alone.
    type: list
    elements: str
    default: []
  judge:
    description: Whether findings that forbid the installation fail the task.
    type: bool
    default: true
  hardware_root:
    description: Where C(/sys) and C(/proc) of the hardware are read. With another value than V(/) a recorded machine.
    type: path
    default: /
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.held_packages
  - module: fullrank.serving.gpu_info
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read what driver the GPUs need
  fullrank.serving.nvidia_driver_info:
    source: repository
    version: 580.95.05
  register: plan
"""

RETURN = r"""
skip:
  description: Why there is nothing to install; empty where there is a GPU.
  returned: always
  type: str
gpus:
  description: The GPUs.
  returned: always
  type: list
  elements: str
  sample: [H200 SXM, H200 SXM]
kernel_modules:
  description: The kernel modules that are taken.
  returned: always
  type: str
  sample: open
fabric:
  description: >-
    What manages the NVLink fabric of this node - V(none), V(nvswitch) (Fabric Manager), V(nvlink5) (Fabric Manager with
    nvlsm), V(nvl72) (IMEX).
  returned: always
  type: str
  sample: nvswitch
installed_source:
  description: How the driver that is there was installed - V(none), V(repository), V(distribution), V(runfile).
  returned: always
  type: str
installed_version:
  description: Its version; null without one.
  returned: always
  type: str
swaps:
  description: Whether a driver is installed that is not the wanted one.
  returned: always
  type: bool
loaded_version:
  description: The version that the kernel has loaded; null without one.
  returned: always
  type: str
nouveau_loaded:
  description: Whether the kernel has nouveau loaded.
  returned: always
  type: bool
reboot_reasons:
  description: Why the node must boot before the installed driver works; empty where it works.
  returned: always
  type: list
  elements: str
repository:
  description: The vendor's repository for this node, for M(fullrank.serving.package_repository); empty where it is not needed.
  returned: always
  type: dict
packages:
  description: The packages, for M(fullrank.serving.held_packages).
  returned: always
  type: list
  elements: dict
family:
  description: A regular expression of the names of all packages that have the driver's version.
  returned: always
  type: str
refused:
  description: A regular expression of the names of packages that must not come along; empty where any may.
  returned: always
  type: str
removal:
  description: A regular expression of the names of all packages that go with the driver when it is removed.
  returned: always
  type: str
own_files:
  description: The files that the role may have written, for their removal by M(fullrank.serving.node_files).
  returned: always
  type: list
  elements: dict
module_commands:
  description: Commands that choose the stream of the dnf module nvidia-driver; empty where none is to be chosen.
  returned: always
  type: list
  elements: list
files:
  description: >-
    Files of the package manager, the kernel and systemd, for M(fullrank.serving.node_files), among them keyrings with the
    vendor's withdrawn key, to be put aside.
  returned: always
  type: list
  elements: dict
initramfs:
  description: The command that rebuilds the initramfs; empty where there is none.
  returned: always
  type: list
  elements: str
services_there:
  description: The services of a driver that are installed.
  returned: always
  type: list
  elements: str
services_to_enable:
  description: The services that belong to the driver on this hardware and are not enabled.
  returned: always
  type: list
  elements: str
services_to_start:
  description: Those that do not run.
  returned: always
  type: list
  elements: str
runfile_arguments:
  description: Options for the .run file.
  returned: always
  type: list
  elements: str
findings:
  description: Findings that do not prevent the installation.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import plan_result
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import facts
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import plan as nvidia_plan
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.wanted import VENDOR, Wanted


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["repository", "distribution", "runfile"], "required": True},
            "version": {"type": "str", "required": True},
            "kernel_modules": {"type": "str", "choices": ["auto", "open", "proprietary"], "default": "auto"},
            "module_key_enrolled": {"type": "bool", "default": False},
            "kernel_headers": {"type": "list", "elements": "str", "default": []},
            "repositories": {"type": "str", "default": VENDOR[0]},
            "repository_key": {"type": "str", "default": "", "no_log": False},
            "repository_fingerprint": {"type": "str", "default": ""},
            "runfile_sha256": {"type": "str", "default": ""},
            "imex_nodes": {"type": "list", "elements": "str", "default": []},
            "not_unattended": {"type": "list", "elements": "str", "default": []},
            "judge": {"type": "bool", "default": True},
            "hardware_root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    params = module.params
    wanted = Wanted(
        source=params["source"],
        version=params["version"],
        modules=params["kernel_modules"],
        key_enrolled=params["module_key_enrolled"],
        kernel_headers=tuple(params["kernel_headers"]),
        repositories=params["repositories"],
        key=params["repository_key"],
        fingerprint=params["repository_fingerprint"],
        runfile_sha256=params["runfile_sha256"],
        imex_nodes=tuple(params["imex_nodes"]),
        not_unattended=tuple(params["not_unattended"]),
    )
    plan = nvidia_plan.plan(facts.collect(Host(), Host(params["hardware_root"])), wanted)
    plan_result.end(module, plan, params["judge"])


if __name__ == "__main__":
    main()
