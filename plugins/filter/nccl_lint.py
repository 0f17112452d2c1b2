# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: findings on a hand-written NCCL environment."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint

DOCUMENTATION = r"""
name: nccl_lint
short_description: Findings on a hand-written NCCL environment
version_added: 0.1.0
author: The fullrank authors (@fullrank)
description:
  - Finds values that NCCL documents as invalid, names that match more devices than meant, settings that contradict each other,
    pinned GID indices, debugging that was left on, and settings that do nothing.
  - Variables of other software give no finding.
  - It reads nothing but its arguments and never raises. Input that is no mapping and no text is a finding itself.
notes:
  - The variables with their values, defaults and versions are in C(plugins/plugin_utils/nccl/variables.py); each rule names its
    source in C(plugins/plugin_utils/nccl/lint.py).
seealso:
  - plugin: fullrank.serving.nccl_env
    plugin_type: filter
  - name: NCCL environment variables
    description: NVIDIA's user guide, the source of names, values and defaults.
    link: https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html
positional: _input, context
options:
  _input:
    description:
      - Variable to value (a string or a number; V(true) and V(false) are findings, because NCCL reads numbers).
      - Or the text of an C(nccl.conf), lines C(NAME=value) with comments that begin with C(#).
    type: raw
    required: true
  context:
    description: What is known about the machine. Every key is optional; the more is known, the more is found.
    type: dict
    default: {}
    suboptions:
      nccl_version:
        description: NCCL's version, quoted, such as V(2.27.3). When not set, nothing that depends on it is reported.
        type: str
      facts:
        description: One node's facts, in the shape of one host of P(fullrank.serving.nccl_env#filter).
        type: dict
        default: {}
      where:
        description: The path that findings name, such as the variable that holds the environment.
        type: str
        default: env
      gate_run:
        description: Whether verbose logging is wanted.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Check NCCL settings before they are used
  ansible.builtin.set_fact:
    findings: "{{ engine_env | fullrank.serving.nccl_lint(context) }}"
  vars:
    engine_env: {NCCL_IB_HCA: mlx5_1, NCCL_IB_TIMEOUT: 40, NCCL_DEBUG: INFO}
    context:
      nccl_version: "2.27.3"
      where: engine_env
      facts: {hcas: [{name: mlx5_1}, {name: mlx5_10}]}

- name: Check the nccl.conf of an image
  ansible.builtin.set_fact:
    findings_of_file: "{{ text | fullrank.serving.nccl_lint }}"
  vars:
    text: |
      # HCAs of the compute rails
      NCCL_IB_HCA==mlx5_0,mlx5_1

- name: Show what must be corrected
  ansible.builtin.debug:
    msg: "{{ findings | selectattr('severity', 'eq', 'fail') | map(attribute='message') }}"
"""

RETURN = r"""
_value:
  description: >-
    Findings, worst first, each with C(severity) (V(fail), V(warn) or V(info)), C(code), C(where) (O(context.where), a dot and the
    variable), C(message), C(remedy) and C(data). Empty where nothing is questionable.
  type: list
  elements: dict
  sample:
    - severity: fail
      code: invalid-value
      where: engine_env.NCCL_IB_TIMEOUT
"""


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Any]:
        return {"nccl_lint": nccl_lint}
