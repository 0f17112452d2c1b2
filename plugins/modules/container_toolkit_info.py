#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: container_toolkit_info
short_description: What a node needs so that containers see its GPUs
version_added: 0.1.0
description:
  - Reads the driver, docker, the NVIDIA Container Toolkit and the CDI specification of a node, and returns which packages,
    files and units make them fit. It changes nothing and reads no repository.
  - Fails with all findings at once when it cannot be done.
options:
  version:
    description: The toolkit's version, or the beginning of one such as V(1.18).
    type: str
    required: true
  repository:
    description: Address of NVIDIA's repository of the toolkit.
    type: str
    required: true
  fingerprint:
    description: Fingerprint of its key. NVIDIA's when empty.
    type: str
    default: ""
  runtime:
    description: What starts containers. V(none) needs none.
    type: str
    choices: [docker, podman, nerdctl, none]
    default: docker
  judge:
    description: Whether findings fail the task.
    type: bool
    default: true
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.held_packages
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read what the toolkit needs
  fullrank.serving.container_toolkit_info:
    version: "1.18"
    repository: https://nvidia.github.io/libnvidia-container
  register: plan
"""

RETURN = r"""
skip:
  description: Why there is nothing to do; empty where there is a driver.
  returned: always
  type: str
driver_version:
  description: The driver's version as C(nvidia-smi) reports it; empty where it does not answer.
  returned: always
  type: str
repository:
  description: The repository, for M(fullrank.serving.package_repository).
  returned: always
  type: dict
packages:
  description: The packages, for M(fullrank.serving.held_packages).
  returned: always
  type: list
  elements: dict
unit_files:
  description: Units that renew the CDI specification, where the toolkit brings none.
  returned: always
  type: list
  elements: dict
units:
  description: The units that renew it.
  returned: always
  type: list
  elements: str
units_enabled:
  description: Whether they are enabled.
  returned: always
  type: bool
spec_stale:
  description: Whether the CDI specification is missing or of another driver.
  returned: always
  type: bool
own_files:
  description: The files that the role may have written, for their removal.
  returned: always
  type: list
  elements: dict
findings:
  description: What prevents the installation.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import plan_result
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import container_toolkit


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "repository": {"type": "str", "required": True},
            "fingerprint": {"type": "str", "default": ""},
            "runtime": {"type": "str", "choices": ["docker", "podman", "nerdctl", "none"], "default": "docker"},
            "judge": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    plan = container_toolkit.plan(
        container_toolkit.collect(Host()),
        params["version"],
        params["repository"],
        params["fingerprint"],
        params["runtime"],
    )
    plan_result.end(module, plan, params["judge"])


if __name__ == "__main__":
    main()
