#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``diagnose_bundle``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose_bundle
version_added: 0.1.0
short_description: One answer and one bundle of what was gathered on all nodes
description:
  - Reports for each deployment whether it is healthy and, where it is not, the likely causes with rank, line and remedy, the
    likeliest first.
  - Packs the files that M(fullrank.serving.diagnose) gathered in this run, with this answer as C(report.txt) and C(report.json),
    into one C(tar.gz) of mode 0600.
  - Nodes that did not answer are named; the others are in the bundle.
options:
  deployments:
    description: Name of each deployment → the hosts of each replica, RV(fullrank.serving.deployments#module:replicas).
    type: dict
    required: true
  results:
    description: >-
      Host → the result of M(fullrank.serving.diagnose) on it. A host that is not there was not asked, and is not judged.
    type: dict
    required: true
  directory:
    description: Folder on the controller for the bundle, whose name has the time (UTC). In check mode nothing is written.
    type: path
    required: true
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
attributes:
  check_mode:
    description: Gives the answer and writes no bundle.
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Answer
  fullrank.serving.diagnose_bundle:
    deployments: {deepseek_r1: [[gpu1, gpu2]]}
    results: {gpu1: "{{ hostvars.gpu1.diagnosis }}", gpu2: "{{ hostvars.gpu2.diagnosis }}"}
    directory: ~/fullrank-diagnose
"""

RETURN = r"""
report:
  description: The answer, line by line.
  returned: always
  type: list
  elements: str
diagnosis:
  description: >-
    Deployment (C(NAME replica N) where it has several) → state (C(healthy) or C(failing)), ranks, and causes (id, cause, remedy,
    rank, line, ranks, level).
  returned: always
  type: dict
bundle:
  description: The file that was written; empty in check mode.
  returned: always
  type: str
"""
