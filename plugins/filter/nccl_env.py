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
  - Turns the facts of all ranks of one deployment and the site's policy into the environment each rank's engine
    starts with.
  - Every variable has a reason, every variable left out on purpose has one too. What does not fit together between
    the nodes (count, order, rate, link layer of the rails, NCCL versions, rendezvous addresses) is a finding. Bad
    input gives findings as well, never an error.
  - The rules are explained in C(docs/nccl.md).
positional: _input, policy
options:
  _input:
    description:
      - Host to facts, in rank order. The facts of one host are the results of M(fullrank.serving.rdma_info) and
        M(fullrank.serving.gpu_info) merged, plus C(rendezvous) with C(interface) and C(address).
      - Optional keys are C(nccl_version) (of this rank's image) and C(vendor_scripts) (paths of vendor profile scripts
        found in the image).
    type: dict
    required: true
  policy:
    description: What the site decides. Every key is optional.
    type: dict
    suboptions:
      nccl_version:
        description: NCCL's version in the image, quoted. Not known counts as 2.21 or newer.
        type: str
      runtime:
        description:
          - C(container) and C(sys_nice), booleans. In a container without CAP_SYS_NICE, NCCL 2.24 to 2.26.4 needs
            E(NCCL_CUMEM_HOST_ENABLE=0).
        type: dict
      site_profile:
        description: The result of the lookup P(fullrank.serving.nccl_profile#lookup).
        type: dict
      exclude_hcas:
        description: HCAs never to be used (storage), as C(mlx5_0) or C(mlx5_0:2).
        type: list
        elements: str
      include_hcas:
        description: The HCAs to use, instead of those the rules choose.
        type: list
        elements: str
      companions:
        description: Also set the same devices for V(ucx) and V(nvshmem).
        type: list
        elements: str
        choices: [ucx, nvshmem]
      engine:
        description: Also set the engine's host address variable, for V(vllm) or V(sglang).
        type: str
      gate_run:
        description: For a communication check. RDMA is demanded (E(NCCL_NET=IB)) and the log verbose.
        type: bool
        default: false
      user_env:
        description:
          - Variables a human set. They win, and are linted; what they replace is reported.
          - A value of V(null) keeps a variable unset.
        type: dict
"""

EXAMPLES = r"""
- name: The NCCL environment of a deployment
  ansible.builtin.set_fact:
    nccl: "{{ facts_by_rank | fullrank.serving.nccl_env(policy) }}"
  vars:
    policy:
      nccl_version: "2.27.3"
      site_profile: "{{ lookup('fullrank.serving.nccl_profile', 'oci-h100') }}"
      exclude_hcas: [mlx5_bond_0]

# nccl.ranks.node1.env:
#   NCCL_IB_HCA: =mlx5_0,mlx5_1,mlx5_3,mlx5_4
#   NCCL_SOCKET_IFNAME: =eth0
"""

RETURN = r"""
_value:
  description: The environments and what is to be said about them.
  type: dict
  contains:
    ranks:
      description: Per host, what its rank gets.
      type: dict
      contains:
        env:
          description: Variable to value, all strings.
          type: dict
        reasons:
          description: Variable to reason; the same keys as RV(_value.ranks.env).
          type: dict
        unset:
          description: Variable to why it is not set.
          type: dict
        vendor_script:
          description: Path of the vendor's script to source before the engine, or empty.
          type: str
    per_host:
      description: Variables that hold a node's own names or addresses and must not be copied to other nodes (Ray does).
      type: list
      elements: str
    findings:
      description: >-
        What is wrong or remarkable, each with C(severity) (fail, warn, info), C(code), C(where), C(message) and
        C(remedy).
      type: list
      elements: dict
"""


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Any]:
        return {"nccl_env": nccl_env}
