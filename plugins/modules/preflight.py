#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Everything that can be known of a node before ranks are started on it
version_added: 0.1.0
description:
  - Runs all checks of one node in one go and returns an answer for each - V(pass), V(warn), V(fail) or V(skipped) -
    with what was seen and what to do. It reads only, never fails on a finding, and sends nothing but empty TCP
    connections and pings to the other ranks.
  - The answers of all nodes become one report, with the comparisons between nodes, by
    P(fullrank.serving.preflight_report#filter).
  - A check without a wanted value is skipped.
  - Run it as root. To others the owner of a port, the configuration of PCI bridges and limits of PID 1 are not visible.
options:
  deployment:
    description:
      - The deployment of whose ranks this node will be one. What its own unit holds is no fault, so that a preflight
        beside a running deployment passes; nodes are compared with the others of their deployment.
    type: str
  address:
    description:
      - The address of this node on the rendezvous interface.
      - When not set, the one inside O(network), or the one from which this node reaches O(peers).
    type: str
  network:
    description: Network of the rendezvous in CIDR notation, in which every rank has one address.
    type: str
  interface:
    description: The name that the interface with O(address) must have.
    type: str
  mtu:
    description: The MTU that it must have. MTUs of the nodes are compared in any case.
    type: int
  peers:
    description: The other ranks.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name for messages.
        type: str
        required: true
      address:
        description: Address on the rendezvous interface, or a name that this node knows.
        type: str
        required: true
      ports:
        description:
          - Ports to try. Nothing needs to listen; a refusal by the peer also shows that nothing on the way dropped the
            packet. Name the ports of the launch, because firewalls differ by port.
        type: list
        elements: int
        default: [22]
  ports:
    description: Ports that ranks on this node will listen on.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Number.
        type: int
        required: true
      purpose:
        description: What it is for.
        type: str
        required: true
  own:
    description:
      - Further systemd units (with or without C(.service)) and containers that belong to O(deployment).
    type: list
    elements: str
    default: []
  expected:
    description: >-
      The deployments that the inventory has on this machine. Ranks of any other are reported; nothing is looked for when not set.
    type: list
    elements: str
  paths:
    description: What will be written. Paths on one file system are added up.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path; it need not exist yet.
        type: str
        required: true
      bytes:
        description: How large it is when it is complete, in bytes.
        type: int
        required: true
      copies:
        description: How often it is there while it is made, for example 2 when it is converted on the way.
        type: int
        default: 1
      reuse:
        description:
          - Whether what is in O(paths[].path) already is a part of it. Nothing is needed when it is complete (5 % less
            count as complete, because people round), and the rest otherwise.
        type: bool
        default: false
      purpose:
        description: What it is for.
        type: str
        required: true
  files:
    description: Files and folders that must be there, such as a chat template that an option of the engine names.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path.
        type: str
        required: true
      where:
        description: Where it was named, for messages.
        type: str
        required: true
  shm_bytes:
    description: Free space wanted in C(/dev/shm), in bytes; V(0) for none.
    type: int
    default: 0
  memlock_bytes:
    description: Locked memory that a rank needs, in bytes; V(-1) for no limit (RDMA), V(0) for none.
    type: int
    default: 0
  gpu_count:
    description: GPUs that the deployment needs on this node; V(0) for a node that serves without.
    type: int
    default: 0
  gpu_indexes:
    description: The GPUs that it uses, by their numbers; none for all.
    type: list
    elements: int
    default: []
  gpu_memory_used_max_mib:
    description: Memory of a GPU that may be in use, in MiB. A driver before 510 counts its own 500 MiB as used.
    type: int
    default: 1024
  compute_capability_min:
    description: Lowest compute capability, such as V(8.9) for FP8.
    type: str
  image_cuda:
    description: CUDA version of the engine's image, such as V(12.8).
    type: str
  image:
    description: The engine's image. Its id is compared between the nodes where it is present.
    type: str
  runtime:
    description: The program that knows the image.
    type: str
    choices: [docker, podman, nerdctl]
    default: docker
  engine_venv:
    description:
      - The engine's virtual environment, which must be there. Versions of engine, Ray, PyTorch and NCCL in it are
        compared.
    type: path
  engine:
    description: The engine's distribution in O(engine_venv), such as V(vllm).
    type: str
  engine_version:
    description: The version that it must have. A local part, such as C(+cu124), does not count.
    type: str
  ray:
    description: Whether the ranks are a Ray cluster, whose nodes must have the same Python to its last digit.
    type: bool
    default: false
  versions:
    description: Further versions of this node, by name, to be compared between the nodes.
    type: dict
    default: {}
  rdma:
    description: Whether the ranks talk by RDMA.
    type: bool
    default: false
  kernel_min:
    description: Lowest kernel version.
    type: str
  kernel_headers:
    description: Whether a kernel module will be built on this node (driver, OFED).
    type: bool
    default: false
  os_supported:
    description: Operating systems as C(ID) or C(ID VERSION_ID) of os-release; V(rhel) includes its likes.
    type: list
    elements: str
    default: [debian 12, debian 13, ubuntu 22.04, ubuntu 24.04, rhel 8, rhel 9, rhel 10]
  timeout:
    description: Seconds that a command may take. C(df) on a dead NFS mount and C(nvidia-smi) with a lost GPU hang.
    type: int
    default: 30
  root:
    description:
      - Where the node's files are. With another value than V(/) a recorded node is read, and instead of running
        a command its recorded output C(<root>/commands/<the words of the command>).
    type: path
    default: /
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - plugin: fullrank.serving.preflight_report
    plugin_type: filter
  - module: fullrank.serving.gpu_info
  - module: fullrank.serving.rdma_info
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Check every node
  fullrank.serving.preflight:
    deployment: deepseek_r1
    address: 10.0.0.21
    peers:
      - {name: node2, address: 10.0.0.22, ports: [22, 29500]}
    ports:
      - {port: 29500, purpose: rendezvous}
      - {port: 8000, purpose: engine}
    paths:
      - {path: /data/models, bytes: 740000000000, purpose: weights, reuse: true}
      - {path: /var/lib/docker, bytes: 40000000000, purpose: image}
    gpu_count: 8
    image_cuda: "12.8"
    rdma: true
    memlock_bytes: -1
    shm_bytes: 17179869184
  register: answer

- name: One report of all nodes
  ansible.builtin.debug:
    msg: "{{ (dict(ansible_play_hosts_all | zip(answers)) | fullrank.serving.preflight_report).lines }}"
  vars:
    answers: "{{ ansible_play_hosts_all | map('extract', hostvars, 'answer') }}"
  run_once: true
"""

RETURN = r"""
checks:
  description: One answer per check and thing looked at.
  returned: always
  type: list
  elements: dict
  contains:
    severity:
      description: V(pass), V(warn), V(fail) or V(skipped).
      type: str
      sample: fail
    code:
      description: Name of the check.
      type: str
      sample: disk-space
    where:
      description: What was looked at.
      type: str
      sample: /data
    message:
      description: What was seen.
      type: str
      sample: "120.3 GiB free, 689.2 GiB needed: /data/models (weights: 689.2 GiB)"
    remedy:
      description: What to do.
      type: str
      sample: free space, or set these paths to a larger file system
    data:
      description: The values, for programs.
      type: dict
node:
  description: The C(deployment), and what must be equal on all nodes of it - C(os), C(kernel), C(clock), C(mtu), C(speed_mbps),
    C(gpu_count), C(gpu_kinds), C(driver_version), C(rdma_active), C(image_id), C(versions).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.preflight.run import run

PEER = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "ports": {"type": "list", "elements": "int", "default": [22]},
}
PORT = {"port": {"type": "int", "required": True}, "purpose": {"type": "str", "required": True}}
PATH = {
    "path": {"type": "str", "required": True},
    "bytes": {"type": "int", "required": True},
    "purpose": {"type": "str", "required": True},
    "copies": {"type": "int", "default": 1},
    "reuse": {"type": "bool", "default": False},
}
FILE = {"path": {"type": "str", "required": True}, "where": {"type": "str", "required": True}}
OPTIONS = {
    "deployment": {"type": "str"},
    "address": {"type": "str"},
    "network": {"type": "str"},
    "interface": {"type": "str"},
    "mtu": {"type": "int"},
    "peers": {"type": "list", "elements": "dict", "default": [], "options": PEER},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": PORT},
    "own": {"type": "list", "elements": "str", "default": []},
    "expected": {"type": "list", "elements": "str"},
    "paths": {"type": "list", "elements": "dict", "default": [], "options": PATH},
    "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
    "shm_bytes": {"type": "int", "default": 0},
    "memlock_bytes": {"type": "int", "default": 0},
    "gpu_count": {"type": "int", "default": 0},
    "gpu_indexes": {"type": "list", "elements": "int", "default": []},
    "gpu_memory_used_max_mib": {"type": "int", "default": 1024},
    "compute_capability_min": {"type": "str"},
    "image_cuda": {"type": "str"},
    "image": {"type": "str"},
    "runtime": {"type": "str", "choices": ["docker", "podman", "nerdctl"], "default": "docker"},
    "engine_venv": {"type": "path"},
    "engine": {"type": "str"},
    "engine_version": {"type": "str"},
    "ray": {"type": "bool", "default": False},
    "versions": {"type": "dict", "default": {}},
    "rdma": {"type": "bool", "default": False},
    "kernel_min": {"type": "str"},
    "kernel_headers": {"type": "bool", "default": False},
    "os_supported": {
        "type": "list",
        "elements": "str",
        "default": ["debian 12", "debian 13", "ubuntu 22.04", "ubuntu 24.04", "rhel 8", "rhel 9", "rhel 10"],
    },
    "timeout": {"type": "int", "default": 30},
    "root": {"type": "path", "default": "/"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    host = Host(module.params["root"], module.params["timeout"])
    module.exit_json(changed=False, **run(host, module.params))


if __name__ == "__main__":
    main()
