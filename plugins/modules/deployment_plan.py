#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``deployment_plan``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_plan
version_added: 0.1.0
short_description: What is decided for all ranks of a deployment together
description:
  - From the facts of all ranks to the NCCL environment of each (with a reason for each variable), and to whether the model fits
    the GPUs with these sizes (with the arithmetic).
  - Run it once for a deployment, on its head; for one with several replicas on the head of each. It runs on the controller
    without a connection and changes nothing.
  - Fails once, with all findings that would keep the deployment from running; the others are warnings.
options:
  deployment:
    description: Name of the deployment or of its replica, for the messages.
    type: str
    required: true
  hosts:
    description: Its hosts in rank order.
    type: list
    elements: str
    required: true
  rendezvous:
    description: The result of M(fullrank.serving.rendezvous) on each of O(hosts).
    type: list
    elements: dict
    required: true
  gpu_facts:
    description: The result of M(fullrank.serving.gpu_info) on each of O(hosts); an item without C(gpus) was not contacted.
    type: list
    elements: dict
    default: []
  rdma_facts:
    description: The result of M(fullrank.serving.rdma_info) on each of O(hosts); an item without C(hcas) was not contacted.
    type: list
    elements: dict
    default: []
  nccl:
    description: The policy of P(fullrank.serving.nccl_env#filter).
    type: dict
    default: {}
  model_info:
    description: The model, as P(fullrank.serving.memory_fit#filter) takes it; empty when it is not known.
    type: dict
    default: {}
  hardware:
    description:
      - The GPUs as declared, as P(fullrank.serving.memory_fit#filter) takes them. The facts of the nodes win.
    type: dict
    default: {}
  engine:
    description: Name of the engine.
    type: str
    required: true
  engine_version:
    description: Its version.
    type: str
    required: true
  engine_args:
    description: Its options in its own words.
    type: dict
    default: {}
  tensor_parallel_size:
    description: GPUs over which each layer is split.
    type: int
    default: 1
  pipeline_parallel_size:
    description: Stages into which the layers are divided.
    type: int
    default: 1
  data_parallel_size:
    description: Copies of the model.
    type: int
    default: 1
  gpus:
    description: Indices of the GPUs that the deployment uses on a node; all when not set.
    type: list
    elements: int
  fit_required:
    description: Whether a model that does not fit is a failure, or a warning.
    type: bool
    default: true
  planning:
    description:
      - Only plan. Failures are returned and do not fail the task, and O(hardware) stands in for what a node has not reported
        (C(hcas), C(link_layer), C(rate_gbps), C(interface), C(rdma), C(nvlink_domain)).
    type: bool
    default: false
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Decide what all ranks share
  fullrank.serving.deployment_plan:
    deployment: deepseek_r1
    hosts: "{{ hosts }}"
    rendezvous: "{{ hosts | map('extract', hostvars) | map(attribute='rendezvous') }}"
    gpu_facts: "{{ hosts | map('extract', hostvars) | map(attribute='gpu', default={}) }}"
    rdma_facts: "{{ hosts | map('extract', hostvars) | map(attribute='rdma', default={}) }}"
    engine: sglang
    engine_version: 0.5.23
    tensor_parallel_size: 32
  vars:
    hosts: "{{ groups['deepseek_r1'] }}"
  when: inventory_hostname == groups['deepseek_r1'][0]
"""

RETURN = r"""
nccl:
  description: >-
    What P(fullrank.serving.nccl_env#filter) returns (C(ranks), C(per_host), C(findings)); empty when not all ranks have
    their hardware.
  returned: always
  type: dict
rdma:
  description: Each of O(hosts) to whether its node has RDMA devices, which a container is then given.
  returned: always
  type: dict
fit:
  description: What P(fullrank.serving.memory_fit#filter) returns; empty when model or GPUs are not known.
  returned: always
  type: dict
proposal:
  description: What P(fullrank.serving.parallel_plan#filter) returns; empty when model or GPUs are not known.
  returned: always
  type: dict
findings:
  description: All findings, with severity, code, where, message, remedy and data.
  returned: always
  type: list
  elements: dict
"""
