# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fullrank.serving.parallel_plan``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: parallel_plan
author: The fullrank authors
version_added: 0.1.0
short_description: The parallel sizes for a model on these nodes, and why
description:
  - Chooses tensor, pipeline, data and expert parallel sizes and the number of replicas for equal nodes, with the
    memory estimate of P(fullrank.serving.memory_fit#filter). The same input always gives the same plan.
  - As many replicas as fit, each on as few nodes as it needs; tensor parallel inside an NVLink domain first, across
    nodes for SGLang where there is RDMA, pipeline parallel across nodes otherwise; expert parallel where tensor
    parallel would cut experts too small.
  - A checkpoint in FP8 on GPUs without FP8 is planned as converted to BF16, with a finding about the cost.
  - When nothing fits, RV(_value.ok) is false and a finding names the smallest number of such nodes that would do.
positional: _input
options:
  _input:
    description: The model as for P(fullrank.serving.memory_fit#filter).
    type: dict
    required: true
  hardware:
    description:
      - A dictionary with V(nodes), V(gpus_per_node) (8 when missing), V(gpu), and where known V(memory_mib),
        V(compute_capability), V(nvlink_domain) (GPUs of a node joined by NVLink; all when missing) and V(rdma) (true
        when missing).
      - Or a list with one such dictionary per node, V(gpus) being its number of GPUs; nodes that differ are a
        finding.
    type: raw
    required: true
  engine:
    description: The engine whose rules count.
    type: str
    choices: [sglang, vllm, lmdeploy]
    default: sglang
  engine_version:
    description: Its release.
    type: str
  engine_args:
    description: What is set for the engine, in its own words.
    type: dict
  context_length:
    description: Tokens of one request. By default the value in O(engine_args), else the model's own maximum.
    type: int
  max_concurrency:
    description: Requests of full length that each replica shall hold at the same time.
    type: int
    default: 1
  kv_dtype:
    description: Dtype of the KV cache. By default the value in O(engine_args), else the model's.
    type: str
seealso:
  - plugin: fullrank.serving.memory_fit
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Four nodes of eight A100
  ansible.builtin.debug:
    msg: "{{ plan.engine_args }} because {{ plan.why | join('; ') }}"
  vars:
    plan: "{{ model | fullrank.serving.parallel_plan({'nodes': 4, 'gpu': 'NVIDIA A100-SXM4-80GB'}) }}"

- name: From facts of the deployment's hosts, for vLLM
  ansible.builtin.debug:
    msg: "{{ model | fullrank.serving.parallel_plan(node_facts, engine='vllm', context_length=65536) }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    ok: {description: A plan was found and nothing speaks against it., type: bool}
    tp: {description: Tensor parallel size of one replica; null without a plan., type: int}
    pp: {description: Pipeline parallel size of one replica., type: int}
    dp: {description: Data parallel copies inside one node., type: int}
    ep: {description: Expert parallel size., type: int}
    replicas: {description: Replicas side by side each with its own head., type: int}
    nodes_per_replica: {description: Nodes of one replica., type: int}
    gpus_per_replica: {description: GPUs of one replica including data parallel copies., type: int}
    idle_nodes: {description: Nodes that no replica uses., type: int}
    smallest_nodes: {description: The fewest such nodes on which one replica fits; null when none was found.,
      type: int}
    dtype: {description: V(bfloat16) when the checkpoint has to be converted first; empty otherwise., type: str}
    engine_args: {description: The sizes in the engine's own words., type: dict}
    why: {description: The reasons as sentences., type: list, elements: str}
    considered: {description: What was tried in order with the first reason against it., type: list, elements: dict}
    fit: {description: The estimate for the plan or for the nearest miss., type: dict}
    findings:
      description: What is wrong or unknown, with V(severity), V(code), V(where), V(message) and V(remedy).
      type: list
      elements: dict
"""

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan as choose


def parallel_plan(model: Any, hardware: Any, engine: str = "sglang", **options: Any) -> dict[str, Any]:
    """Choose parallel sizes for ``model`` on ``hardware``."""
    return choose(model, hardware, engine, **options)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"parallel_plan": parallel_plan}
