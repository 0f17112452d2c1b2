#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: rdma_audit_info
short_description: Whether a node's RDMA stack is as it was wanted, and what else is set on its fabric
version_added: 0.1.0
description:
  - Returns checks in the shape of M(fullrank.serving.preflight). Those about the stack (version, openibd, origin and
    presence of modules, ports) can fail; those about the fabric (MTU, trust and flow control, relaxed ordering, ACS,
    IOMMU) warn, because what is right depends on the switches and the machine. It changes nothing.
  - What must be equal on all nodes is compared by P(fullrank.serving.rdma_report#filter).
options:
  source:
    description: The stack that is wanted.
    type: str
    choices: [inbox, doca, mlnx_ofed]
    default: inbox
  modules:
    description: Kernel modules that must be loaded.
    type: list
    elements: str
    default: []
  announced:
    description: The stack would be installed first (check mode). Then neither it nor the modules are checked.
    type: bool
    default: false
  hardware_root:
    description: Where C(/sys), C(/proc) and C(/lib/modules) are read. With another value than V(/) a recorded machine.
    type: path
    default: /
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.rdma_stack_info
  - plugin: fullrank.serving.rdma_report
    plugin_type: filter
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Audit the fabric of each node
  fullrank.serving.rdma_audit_info:
    source: inbox
  register: audit

- name: Show the audit of all nodes
  ansible.builtin.debug:
    msg: "{{ (dict(ansible_play_hosts | zip(answers)) | fullrank.serving.rdma_report).lines }}"
  vars:
    answers: "{{ ansible_play_hosts | map('extract', hostvars, 'audit') }}"
  run_once: true
"""

RETURN = r"""
checks:
  description: One answer for each check, as M(fullrank.serving.preflight) gives them.
  returned: always
  type: list
  elements: dict
node:
  description: What must be equal on all nodes, and C(active), the ports that are up.
  returned: always
  type: dict
reboot_required:
  description: Why the node must be rebooted; empty when it need not.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import audit, plan
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import node as rdma_node


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["inbox", "doca", "mlnx_ofed"], "default": "inbox"},
            "modules": {"type": "list", "elements": "str", "default": []},
            "announced": {"type": "bool", "default": False},
            "hardware_root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    hardware = Host(module.params["hardware_root"])
    node = rdma_node.collect(hardware, Host())
    result = audit.run(hardware, node, module.params)
    module.exit_json(changed=False, reboot_required=plan.reboot_reason(node), **result)


if __name__ == "__main__":
    main()
