# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: findings on a hand-written NCCL environment."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint

DOCUMENTATION = r"""
name: nccl_lint
short_description: Findings on an NCCL environment a human wrote
version_added: 0.1.0
author: The fullrank authors (@fullrank)
description:
  - Finds values NCCL documents as invalid, names that match more devices than meant, settings that contradict each
    other, pinned GID indices, debugging left on, and settings that do nothing.
  - Variables of other software pass without a word.
positional: _input, context
options:
  _input:
    description: Variable to value; or the text of an C(nccl.conf).
    type: raw
    required: true
  context:
    description: What is known about the machine. Every key is optional; the more is known, the more is found.
    type: dict
    suboptions:
      nccl_version:
        description: NCCL's version, quoted.
        type: str
      facts:
        description: One node's facts, as in P(fullrank.serving.nccl_env#filter).
        type: dict
      where:
        description: The path that findings name.
        type: str
        default: env
      gate_run:
        description: Whether verbose logging is wanted.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Refuse bad NCCL settings
  ansible.builtin.assert:
    that: findings | selectattr('severity', 'eq', 'fail') | length == 0
    fail_msg: "{{ findings }}"
  vars:
    findings: "{{ engine_env | fullrank.serving.nccl_lint({'nccl_version': '2.27.3', 'where': 'engine_env'}) }}"

- name: What is in the image's nccl.conf
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'nccl.conf') | fullrank.serving.nccl_lint }}"
"""

RETURN = r"""
_value:
  description: Findings, worst first, with C(severity) (fail, warn, info), C(code), C(where), C(message), C(remedy).
  type: list
  elements: dict
"""


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Any]:
        return {"nccl_lint": nccl_lint}
