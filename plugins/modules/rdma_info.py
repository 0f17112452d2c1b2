#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: rdma_info
short_description: The RDMA devices and network interfaces of a node, as they are
version_added: 0.1.0
description:
  - Reads sysfs, the routing tables in C(/proc/net) and C(ip -json address show), and returns raw facts under plain
    keys. It decides nothing - which HCAs a launch uses is the work of the filter P(fullrank.serving.nccl_env#filter) -
    and sets no facts.
  - No RDMA tools need to be installed.
options:
  root:
    description:
      - Where the node's files are. With another value than V(/) a recorded node is read, and instead of running
        a command its recorded output C(<root>/commands/<the words of the command>).
    type: path
    default: /
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.gpu_info
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Know the fabric
  fullrank.serving.rdma_info:
  register: rdma

- name: Show the ports that are up
  ansible.builtin.debug:
    msg: "{{ rdma.hcas | map(attribute='ports') | flatten | selectattr('state', 'eq', 'ACTIVE') }}"
"""

RETURN = r"""
hcas:
  description: RDMA devices (C(/sys/class/infiniband)), in the order of their numbers.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: mlx5_0
    node_type:
      description: V(CA), V(RNIC) and others.
      type: str
      sample: CA
    fw_ver:
      description: Firmware.
      type: str
      sample: 28.39.1002
    hca_type:
      description: Model.
      type: str
      sample: MT4129
    board_id:
      description: PSID.
      type: str
      sample: MT_0000000838
    node_guid:
      description: GUID.
      type: str
      sample: "946d:ae03:00cd:e72c"
    pci_address:
      description: PCI address; null for a software device.
      type: str
      sample: "0000:1a:00.0"
    pci_path:
      description: Host bridge and PCI functions down to the device.
      type: list
      elements: str
      sample: ["pci0000:16", "0000:16:02.0", "0000:1a:00.0"]
    numa_node:
      description: NUMA node; null where the firmware names none.
      type: int
      sample: 0
    is_vf:
      description: Whether it is a virtual function.
      type: bool
      sample: false
    nvswitch_management:
      description: Whether it is a management port of an NVSwitch (HGX B200 and later), which no launch may use.
      type: bool
      sample: false
    netdevs:
      description: Network interfaces of the same PCI function.
      type: list
      elements: str
      sample: [eth1]
    ports:
      description: Ports.
      type: list
      elements: dict
      contains:
        port:
          description: Number.
          type: int
          sample: 1
        state:
          description: Logical state.
          type: str
          sample: ACTIVE
        phys_state:
          description: Physical state.
          type: str
          sample: LinkUp
        rate_gbps:
          description: Rate in Gbit/s.
          type: float
          sample: 400.0
        link_layer:
          description: V(InfiniBand) or V(Ethernet).
          type: str
          sample: Ethernet
        lid:
          description: LID; 0 on Ethernet.
          type: int
          sample: 0
        gids:
          description: GID table without its empty entries.
          type: list
          elements: dict
          contains:
            index:
              description: Index.
              type: int
              sample: 3
            gid:
              description: GID in the notation of addresses.
              type: str
              sample: "::ffff:10.0.0.1"
            type:
              description: V(RoCE v2), V(RoCE v1) or V(IB); null for an entry of another network namespace.
              type: str
              sample: RoCE v2
            netdev:
              description: Its network interface; null on InfiniBand.
              type: str
              sample: eth1
netdevs:
  description: Network interfaces.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: eth0
    kind:
      description: V(physical), V(bond), V(bridge), V(loopback) or V(virtual) (VLANs, veth, tunnels).
      type: str
      sample: physical
    operstate:
      description: Operational state.
      type: str
      sample: up
    carrier:
      description: Whether there is a link.
      type: bool
      sample: true
    mtu:
      description: MTU in bytes.
      type: int
      sample: 9000
    speed_mbps:
      description: Speed in Mbit/s; null where the driver names none.
      type: int
      sample: 100000
    mac:
      description: Hardware address.
      type: str
      sample: "0c:42:a1:00:00:01"
    master:
      description: Bond or bridge that it belongs to.
      type: str
      sample: bond0
    lower:
      description: Interfaces that it is made of.
      type: list
      elements: str
      sample: []
    bond_mode:
      description: Mode of a bond as the kernel names it; null for other interfaces.
      type: str
      sample: 802.3ad
    active_slave:
      description: The interface by which a bond of mode active-backup sends; null where there is none.
      type: str
      sample: ens9f0np0
    driver:
      description: Driver.
      type: str
      sample: mlx5_core
    pci_path:
      description: Host bridge and PCI functions down to the device.
      type: list
      elements: str
      sample: []
    numa_node:
      description: NUMA node; null where the firmware names none.
      type: int
      sample: 0
    addresses:
      description: Addresses with prefix length, without IPv6 link-local ones.
      type: list
      elements: str
      sample: [10.0.0.1/24]
    default_route:
      description: Whether a default route of the main table leads out of it.
      type: bool
      sample: true
problems:
  description: What could not be read, in words.
  returned: always
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma.facts import collect


def main() -> None:
    module = AnsibleModule(
        argument_spec={"root": {"type": "path", "default": "/"}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **collect(Host(module.params["root"])))


if __name__ == "__main__":
    main()
