# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: facts of all ranks to NCCL environments with reasons."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env

DOCUMENTATION = r"""
name: nccl_env
short_description: NCCL environment of every rank, with a reason for each variable
version_added: 0.1.0
author: The fullrank authors (@fullrank)
description:
  - Turns the facts of all ranks of one deployment and the site's policy into the environment that each rank's engine starts
    with.
  - Every variable has a reason, and so has every variable that is left out on purpose. What does not fit together between the
    nodes (count, order, rate, link layer of the rails, NCCL versions, rendezvous addresses) is a finding.
  - It reads nothing but its arguments and never raises. Wrong input gives findings with the severity C(fail).
notes:
  - The rules R1 to R13 with their reasons, and the codes of findings, are in C(docs/nccl.md). The source of each rule stands
    beside it in C(plugins/plugin_utils/nccl/).
seealso:
  - plugin: fullrank.serving.nccl_lint
    plugin_type: filter
  - plugin: fullrank.serving.nccl_profile
    plugin_type: lookup
  - module: fullrank.serving.rdma_info
  - module: fullrank.serving.gpu_info
  - name: NCCL environment variables
    description: NVIDIA's user guide, the source of names, values and defaults.
    link: https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html
positional: _input, policy
options:
  _input:
    description:
      - Host name to the facts of that rank, in rank order; the first host is rank 0.
      - The facts of one host are the results of M(fullrank.serving.rdma_info) (C(hcas), C(netdevs)) and
        M(fullrank.serving.gpu_info) (C(gpus), C(topology), C(virtual_machine)) merged, plus C(rendezvous), a dictionary with
        C(interface) (a name of C(netdevs)) and C(address) (without prefix length). Rates are in Gbit/s (C(rate_gbps)) or Mbit/s
        (C(speed_mbps)), as these modules return them.
      - Optional keys are C(nccl_version) (a string, of this rank's image) and C(vendor_scripts) (a list of paths of vendor
        profile scripts that exist in the image).
      - A key that is missing, or of another type, counts as empty.
    type: dict
    required: true
  policy:
    description: What the site decides. Every key is optional; an unknown key is the finding C(policy-invalid).
    type: dict
    default: {}
    suboptions:
      nccl_version:
        description: NCCL's version in the image, quoted, such as V(2.27.3). When not set, it counts as 2.21 or newer.
        type: str
      runtime:
        description: How the engine runs. A container without C(CAP_SYS_NICE) gets E(NCCL_CUMEM_HOST_ENABLE=0) from NCCL 2.24 to
          2.26.4.
        type: dict
        default: {}
        suboptions:
          container:
            description: Whether it runs in a container.
            type: bool
            default: false
          sys_nice:
            description: Whether the container has C(CAP_SYS_NICE).
            type: bool
            default: true
      site_profile:
        description: One result of the lookup P(fullrank.serving.nccl_profile#lookup).
        type: dict
        default: {}
      exclude_hcas:
        description: HCAs never to be used (storage), as V(mlx5_0), or with a port as V(mlx5_0:2).
        type: list
        elements: str
        default: []
      include_hcas:
        description: The HCAs to use, in the same notation, instead of those that the rules choose.
        type: list
        elements: str
        default: []
      companions:
        description: Also name the same devices for V(ucx) (E(UCX_NET_DEVICES)) and V(nvshmem) (E(NVSHMEM_HCA_LIST)).
        type: list
        elements: str
        choices: [ucx, nvshmem]
        default: []
      engine:
        description: Also set the engine's host address variable, E(VLLM_HOST_IP) or E(SGLANG_HOST_IP).
        type: str
        choices: [vllm, sglang]
      gate_run:
        description: For a communication check. RDMA is demanded (E(NCCL_NET=IB)) and E(NCCL_DEBUG) is V(INFO), not V(WARN).
        type: bool
        default: false
      user_env:
        description:
          - Variables that the site sets itself, name to string or number. They win, are checked as by
            P(fullrank.serving.nccl_lint#filter), and what they replace is reported.
          - A value of V(null) keeps a variable unset.
        type: dict
        default: {}
"""

EXAMPLES = r"""
- name: Read the devices of every rank
  fullrank.serving.rdma_info:
  register: rdma

- name: Read the GPUs of every rank
  fullrank.serving.gpu_info:
  register: gpu

- name: Make the environments of all ranks, in the order of the play
  ansible.builtin.set_fact:
    nccl_of_this_play: "{{ dict(ansible_play_hosts | zip(facts)) | fullrank.serving.nccl_env({'nccl_version': '2.27.3'}) }}"
  vars:
    rdma_of_all: "{{ ansible_play_hosts | map('extract', hostvars, 'rdma') }}"
    gpu_of_all: "{{ ansible_play_hosts | map('extract', hostvars, 'gpu') }}"
    facts: "{{ rdma_of_all | zip(gpu_of_all) | map('combine') }}"
  run_once: true

# Two nodes with one HCA of 400 Gbit/s each, and what the site decides. Real facts come from the modules above.
- name: Make the environments of two ranks from given facts
  ansible.builtin.set_fact:
    nccl: "{{ facts_by_rank | fullrank.serving.nccl_env(policy) }}"
  vars:
    policy:
      nccl_version: "2.27.3"
      site_profile: "{{ lookup('fullrank.serving.nccl_profile', 'oci-h100') }}"
      exclude_hcas: [mlx5_bond_0]
      user_env: {NCCL_IB_QPS_PER_CONNECTION: 2}
    hcas:
      - name: mlx5_0
        ports: [{port: 1, state: ACTIVE, phys_state: LinkUp, rate_gbps: 400.0, link_layer: InfiniBand, gids: []}]
    eth0: {name: eth0, kind: physical, speed_mbps: 25000, mtu: 1500, default_route: true}
    facts_by_rank:
      node1:
        hcas: "{{ hcas }}"
        netdevs: ["{{ eth0 | combine({'addresses': ['192.0.2.11/24']}) }}"]
        rendezvous: {interface: eth0, address: 192.0.2.11}
      node2:
        hcas: "{{ hcas }}"
        netdevs: ["{{ eth0 | combine({'addresses': ['192.0.2.12/24']}) }}"]
        rendezvous: {interface: eth0, address: 192.0.2.12}

- name: Refuse to start ranks whose fabric does not fit together
  ansible.builtin.assert:
    that: nccl.findings | selectattr('severity', 'eq', 'fail') | length == 0
    fail_msg: "{{ nccl.findings | map(attribute='message') | join('; ') }}"

# nccl.ranks.node1.env.NCCL_IB_HCA: "=mlx5_0"
# nccl.ranks.node1.env.NCCL_SOCKET_IFNAME: "=eth0"
# nccl.ranks.node1.env.NCCL_IB_TC: "41"
# nccl.ranks.node1.env.NCCL_IB_QPS_PER_CONNECTION: "2"
"""

RETURN = r"""
_value:
  description: The environments and the findings about them.
  type: dict
  contains:
    ranks:
      description: Host name to what its rank gets, with the keys below.
      type: dict
      contains:
        env:
          description: Variable to value, all strings.
          type: dict
          sample: {NCCL_IB_HCA: "=mlx5_0", NCCL_SOCKET_IFNAME: "=eth0"}
        reasons:
          description: Variable to reason; the same keys as RV(_value.ranks.env).
          type: dict
        unset:
          description: Variable that is left out on purpose to the reason.
          type: dict
        vendor_script:
          description: Path of the vendor's script to source before the engine; empty where there is none.
          type: str
    per_host:
      description: Variables that hold a node's own names or addresses and must not be copied to other nodes, as Ray does.
      type: list
      elements: str
    findings:
      description: >-
        What is wrong or remarkable, each with C(severity) (V(fail), V(warn) or V(info)), C(code), C(where), C(message),
        C(remedy) and C(data).
      type: list
      elements: dict
"""


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Any]:
        return {"nccl_env": nccl_env}
