#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: rdma_stack_info
short_description: What a node's RDMA cards need of software, what is installed, and what prevents the installation
version_added: 0.1.0
description:
  - Reads cards from PCI and sysfs, the kernel, Secure Boot, the RDMA software that is installed, and the NVIDIA driver, and
    returns which packages, files, modules and services make the wanted RDMA stack. It changes nothing and reads no repository.
  - Fails with all findings at once when the stack cannot be installed as it is wanted. A node without RDMA cards is no
    error.
options:
  removal:
    description: Return what removes the installed stack instead of what installs the wanted one. Other options are ignored then.
    type: bool
    default: false
  source:
    description: Where the software comes from - the distribution, DOCA-OFED, or MLNX_OFED.
    type: str
    choices: [inbox, doca, mlnx_ofed]
    default: inbox
  version:
    description: The release of DOCA or MLNX_OFED, as its folder in the repository is called.
    type: str
    default: ""
  repository_url:
    description: Where the folders of releases are; with a slash at its end the repository itself.
    type: str
    default: ""
  repository_key:
    description: The address of the repository's key.
    type: str
    default: ""
  repository_fingerprint:
    description: Fingerprints of the keys in that file, with commas.
    type: str
    default: ""
  gpudirect:
    description:
      - How cards reach the memory of GPUs. V(auto) takes dma-buf with open kernel modules on kernel 5.12 or newer,
        otherwise nvidia-peermem where the RDMA stack has its interface.
    type: str
    choices: [auto, dma-buf, peermem, none]
    default: auto
  migrate_ok:
    description: Whether MLNX_OFED may be removed to make room for DOCA-OFED.
    type: bool
    default: false
  module_key_enrolled:
    description: With Secure Boot, whether the key that modules are signed with is enrolled in the firmware.
    type: bool
    default: false
  hardware_root:
    description: Where C(/sys), C(/proc) and C(/lib/modules) are read. With another value than V(/) a recorded machine.
    type: path
    default: /
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.rdma_info
  - module: fullrank.serving.rdma_audit_info
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read what RDMA stack the node needs
  fullrank.serving.rdma_stack_info:
    source: doca
    version: 3.2.1
    repository_url: https://linux.mellanox.com/public/repo/doca
    repository_key: https://linux.mellanox.com/public/repo/doca/GPG-KEY-Mellanox.pub
    repository_fingerprint: "{{ fingerprint_of_nvidia }}"
  register: plan
"""

RETURN = r"""
skip:
  description: Why there is nothing to install; empty where there is a card.
  returned: always
  type: str
devices:
  description: PCI addresses and names of the cards.
  returned: always
  type: list
  elements: str
stack:
  description: What is installed now - V(inbox), V(doca), V(mlnx_ofed) or empty.
  returned: always
  type: str
family:
  description: V(debian) or V(redhat).
  returned: always
  type: str
packages:
  description: For M(fullrank.serving.held_packages).
  returned: always
  type: list
  elements: dict
uninstall:
  description: The commands that remove MLNX_OFED before DOCA-OFED is installed; otherwise empty.
  returned: always
  type: list
  elements: list
uninstaller:
  description: The script that removes OFED, where there is one.
  returned: always
  type: str
repository:
  description: For M(fullrank.serving.package_repository); empty where the distribution's packages are wanted.
  returned: always
  type: dict
files:
  description: For M(fullrank.serving.node_files).
  returned: always
  type: list
  elements: dict
modules_missing:
  description: Kernel modules to load, which are not.
  returned: always
  type: list
  elements: str
modules:
  description: Kernel modules that belong to this node.
  returned: always
  type: list
  elements: str
gpudirect:
  description: V(dma-buf), V(peermem) or V(none).
  returned: always
  type: str
openibd:
  description: Whether openibd loads the modules.
  returned: always
  type: bool
initramfs:
  description: The command that rebuilds the initramfs after an out-of-tree stack was installed.
  returned: always
  type: list
  elements: str
rebuild_nvidia:
  description: The commands that rebuild the NVIDIA modules against a new RDMA stack.
  returned: always
  type: list
  elements: list
reload_ok:
  description: Whether systemd may reload its settings. Not while ranks run, whose containers can lose their
    GPUs by it.
  returned: always
  type: bool
memlock_pending:
  description: Whether systemd has not yet read the limit of locked memory.
  returned: always
  type: bool
reboot_required:
  description: Why the node must be rebooted; empty when it need not.
  returned: always
  type: str
findings:
  description: What prevents the installation, or deserves attention.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failures
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import node as rdma_node
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import plan as rdma_plan

OPTIONS = {
    "removal": {"type": "bool", "default": False},
    "source": {"type": "str", "choices": ["inbox", "doca", "mlnx_ofed"], "default": "inbox"},
    "version": {"type": "str", "default": ""},
    "repository_url": {"type": "str", "default": ""},
    "repository_key": {"type": "str", "default": "", "no_log": False},
    "repository_fingerprint": {"type": "str", "default": ""},
    "gpudirect": {"type": "str", "choices": ["auto", "dma-buf", "peermem", "none"], "default": "auto"},
    "migrate_ok": {"type": "bool", "default": False},
    "module_key_enrolled": {"type": "bool", "default": False, "no_log": False},
    "hardware_root": {"type": "path", "default": "/"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    params = module.params
    node = rdma_node.collect(Host(params["hardware_root"]), Host())
    plan = rdma_plan.unmake(node) if params["removal"] else rdma_plan.make(node, params)
    if message := failures(plan["findings"]):
        module.fail_json(msg=message, **plan)
    module.exit_json(changed=False, **plan)


if __name__ == "__main__":
    main()
