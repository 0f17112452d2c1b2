# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fullrank.serving.memory_fit``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: memory_fit
author: The fullrank authors
version_added: 0.1.0
short_description: Does a model fit on these GPUs, with the arithmetic
description:
  - Estimates, before anything starts, what the weights and the KV cache of a model take on each GPU of a deployment,
    how many tokens fit, and whether the engine would accept the parallel sizes.
  - Sizes come from the checkpoint's index or files, never from parameters times dtype for a quantized checkpoint.
  - Never fails on its input. What is missing, unknown or wrong is a finding with a remedy.
positional: _input
options:
  _input:
    description:
      - The model, with V(config) (the content of its config.json) and one of V(files) (a list of V(path) and V(size)
        in bytes), V(index) (the content of model.safetensors.index.json), V(total_size) (bytes) or V(parameters)
        (counts by dtype, as a model hub's API gives them).
      - V(dtype) set to V(bfloat16) gives the size after conversion of a quantized checkpoint.
    type: dict
    required: true
  hardware:
    description:
      - The GPUs. V(gpu) is the name as nvidia-smi prints it; V(memory_mib) and V(compute_capability) win over what is
        known by name.
      - V(nodes), V(gpus_per_node) (8 when missing), V(nvlink_domain) and V(rdma) describe the nodes.
    type: dict
    required: true
  parallel:
    description: Parallel sizes V(tp), V(pp), V(dp) and V(ep), each 1 when missing; V(dp_attention) for SGLang's
      attention data parallel.
    type: dict
  engine:
    description: The engine whose rules count.
    type: str
    choices: [sglang, vllm, lmdeploy]
    default: sglang
  engine_version:
    description: Its release. Defaults differ between releases; without it the newest rules count, except for vLLM's
      smaller fraction.
    type: str
  engine_args:
    description: What is set for the engine, in its own words, such as V(mem_fraction_static) or V(max_model_len).
    type: dict
  context_length:
    description: Tokens of one request. By default the value in O(engine_args), else the model's own maximum.
    type: int
  max_concurrency:
    description: Requests of full length that shall fit at the same time.
    type: int
    default: 1
  kv_dtype:
    description: Dtype of the KV cache. By default the value in O(engine_args), else the model's.
    type: str
seealso:
  - plugin: fullrank.serving.parallel_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: DeepSeek-R1 in FP8 on two nodes of eight H20
  ansible.builtin.debug:
    msg: "{{ model | fullrank.serving.memory_fit({'gpu': 'NVIDIA H20'}, parallel={'tp': 16}, engine='sglang') }}"
  vars:
    model:
      config: "{{ lookup('ansible.builtin.file', 'DeepSeek-R1/config.json') | from_json }}"
      index: "{{ lookup('ansible.builtin.file', 'DeepSeek-R1/model.safetensors.index.json') | from_json }}"

- name: Stop before anything starts
  ansible.builtin.assert:
    that: fit.verdict == 'fits'
    fail_msg: "{{ fit.findings | map(attribute='message') | join('; ') }}"
  vars:
    fit: "{{ model | fullrank.serving.memory_fit(hardware, parallel=sizes, engine=engine_name, context_length=32768) }}"
"""

RETURN = r"""
_value:
  description: The estimate. Sizes are bytes on the fullest GPU.
  type: dict
  contains:
    verdict:
      description:
        - V(fits) when O(max_concurrency) requests of O(context_length) tokens fit at the engine's fraction, even at the
          lower end of the estimate's interval.
        - V(tight) when that is not sure, or when the engine can start with less or with a higher fraction.
        - V(does not fit) otherwise; V(unknown) when a size is missing.
      type: str
    summary: {description: The verdict in one sentence., type: str}
    gpus: {description: GPUs of the deployment., type: int}
    gpu_memory_bytes: {description: Memory of one GPU., type: int}
    parallel: {description: The parallel sizes that were counted., type: dict}
    engine: {description: The engine., type: str}
    fraction: {description: The engine's memory fraction as set or as it would compute it., type: float}
    weights_bytes: {description: The whole checkpoint as loaded., type: int}
    weights_per_gpu_bytes: {description: Weights on one GPU including what is replicated., type: int}
    replicated_per_gpu_bytes: {description: The part of them beyond an even share., type: int}
    kv_bytes_per_token: {description: One token over all layers and heads stored once., type: int}
    kv_bytes_per_token_range: {description: Lowest and highest growth; the same for known families., type: list, elements: int}
    kv_bytes_per_token_per_gpu: {description: One token on one GPU with windows that the engine does not free., type: int}
    kv_bytes_per_request_per_gpu: {description: Windows and states of one running request on one GPU., type: int}
    kv_pool_bytes: {description: Left for the KV cache; negative when weights are too large., type: int}
    kv_pool_low_bytes: {description: The same at the lower end of the estimate's interval., type: int}
    kv_pool_high_bytes: {description: The same at the upper end., type: int}
    overhead_bytes: {description: Neither weights nor KV., type: int}
    context_length: {description: Tokens of one request that were counted with., type: int}
    tokens_that_fit: {description: Tokens in one KV pool., type: int}
    tokens_that_fit_at_least: {description: The same at the lower end of the interval., type: int}
    tokens_that_fit_at_most: {description: The same at the upper end., type: int}
    tokens_that_fit_in_all: {description: The same over all data parallel copies., type: int}
    max_full_length_sequences: {description: Requests of full length in one KV pool., type: int}
    arithmetic:
      description: One line per step with V(label), V(formula), V(value) and V(unit).
      type: list
      elements: dict
    findings:
      description:
        - What is wrong or unknown, with V(severity), V(code), V(where), V(message) and V(remedy).
        - V(data.changes), where there is one, lists the remedy as options of this filter; each was tried.
      type: list
      elements: dict
"""

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit as estimate


def memory_fit(
    model: Any, hardware: Any, parallel: Any = None, engine: str = "sglang", **options: Any
) -> dict[str, Any]:
    """Estimate the memory of ``model`` on ``hardware``."""
    return estimate(model, hardware, parallel, engine, **options)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"memory_fit": memory_fit}
