#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``benchmark_report``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark_report
version_added: 0.1.0
short_description: Write down and compare what benchmarks measured
description:
  - Writes what M(fullrank.serving.benchmark_run) measured of one or more deployments into a folder of the controller, as JSON,
    as a Markdown table of medians with their spread, and as a plot (SVG) where matplotlib is installed there.
  - Puts earlier results beside the new ones.
options:
  results:
    description: >-
      One for each deployment - deployment, engine (name and version), client, model, prompts (a digest), output_tokens, when, and
      runs as M(fullrank.serving.benchmark_run) returned them.
    type: list
    elements: dict
    required: true
  compare:
    description: JSON files of earlier benchmarks, which come first in the table.
    type: list
    elements: path
    default: []
  directory:
    description: Folder for the files, made if it is not there.
    type: path
    required: true
  name:
    description: Name of the files, without their endings.
    type: str
    required: true
attributes:
  check_mode:
    description: Writes nothing.
    support: full
  diff_mode:
    description: The files are new each time.
    support: none
  action:
    description: Runs on the controller, without a connection to the node.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Compare with the last release
  fullrank.serving.benchmark_report:
    results: "{{ measured }}"
    compare: [~/fullrank-benchmark/20261101-1200.json]
    directory: ~/fullrank-benchmark
    name: 20261128-0900
"""

RETURN = r"""
table:
  description: All levels of all results, as lines for people.
  returned: always
  type: list
  elements: str
cautions:
  description: Why numbers of the table may not be compared.
  returned: always
  type: list
  elements: str
files:
  description: What was written.
  returned: always
  type: list
  elements: str
"""
