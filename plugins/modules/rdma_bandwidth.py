#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: rdma_bandwidth
short_description: Send to the next node over every RDMA port at once, and measure
version_added: 0.1.0
description:
  - Run it on all nodes at the same time. Each node waits on every active port for the node before it, and sends to the
    node after it with C(ib_write_bw) of perftest, all ports side by side, as a launch uses them.
  - Ports are paired in their order - the first active one of a node with the first of the next.
options:
  ports:
    description: The active ports of this node.
    type: list
    elements: dict
    required: true
    suboptions:
      device:
        description: Name of the device.
        type: str
        required: true
      port:
        description: Number of its port.
        type: int
        required: true
      gbps:
        description: Rate of the port in Gbit/s.
        type: float
        required: true
  peer:
    description: Address of the next node, for perftest's own TCP connection.
    type: str
    required: true
  peer_ports:
    description: How many active ports the next node has.
    type: int
    required: true
  tcp_port:
    description: First TCP port to listen on; one for each RDMA port.
    type: int
    default: 18515
  seconds:
    description: How long to send.
    type: int
    default: 5
  timeout:
    description: Seconds to wait for the nodes on both sides.
    type: int
    default: 60
  min_share:
    description: Share of its rate that each port must reach.
    type: float
    default: 0.8
extends_documentation_fragment:
  - fullrank.serving.attributes
requirements:
  - perftest
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Measure
  fullrank.serving.rdma_bandwidth:
    ports: "{{ audit.node.active }}"
    peer: 10.0.0.22
    peer_ports: 8
"""

RETURN = r"""
gbps:
  description: Port to Gbit/s sent.
  returned: always
  type: dict
  sample: {"mlx5_0:1": 392.1}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import bandwidth


def main() -> None:
    port = {
        "device": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "gbps": {"type": "float", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "required": True, "options": port},
            "peer": {"type": "str", "required": True},
            "peer_ports": {"type": "int", "required": True},
            "tcp_port": {"type": "int", "default": 18515},
            "seconds": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 60},
            "min_share": {"type": "float", "default": 0.8},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, gbps={})
    module.get_bin_path("ib_write_bw", required=True)
    gbps, wrong = bandwidth.measure(module.params)
    if wrong:
        module.fail_json(msg="\n".join(["RDMA bandwidth", *wrong]), gbps=gbps)
    module.exit_json(changed=False, gbps=gbps)


if __name__ == "__main__":
    main()
