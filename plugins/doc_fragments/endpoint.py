# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules that ask an endpoint for one answer have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """``fullrank.serving.endpoint``: the options of `module_utils.endpoint.answer.OPTIONS`."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Endpoint that is asked for the smallest answer of its O(task), as the node itself reaches it, without C(/v1). No request
        when not set.
    type: str
  model:
    description: Name of the model as the endpoint serves it. Required with O(url).
    type: str
  api_key:
    description: Key of the endpoint.
    type: str
  certificate:
    description: PEM file on the node with the very certificate that O(url) must show for C(https). Its names do not matter.
    type: path
    default: ""
  task:
    description:
      - What the model is served for, C(engine_task); it decides which request is sent. V(half) is an SGLang group for prefill or
        decode alone.
    type: str
    choices: [generate, embed, score, classify, transcribe, pool, half]
    default: generate
  engine:
    description: Name of the engine, by which some paths differ.
    type: str
    default: ""
"""
