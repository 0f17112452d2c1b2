#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``node_contact``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_contact
version_added: 0.1.0
short_description: Whether a node can be reached, without failing where it cannot
description:
  - Runs M(ansible.builtin.ping) over the node's connection, once, and returns whether that worked. A node that cannot be
    reached stays in the play, and no error is shown for it.
  - It is for what can be done without nodes, such as a plan.
options:
  attempt:
    description: Whether to try. V(false) returns that the node does not answer, without a connection.
    type: bool
    default: true
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Check the connection to each node
  fullrank.serving.node_contact:
  register: contact

- name: Read the GPUs of those that answer
  fullrank.serving.gpu_info:
  when: contact.answers
"""

RETURN = r"""
answers:
  description: Whether the node answered.
  returned: always
  type: bool
msg:
  description: Why not; empty where it did.
  returned: always
  type: str
"""
