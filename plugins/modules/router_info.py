#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the routers of this node are; read only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: router_info
version_added: 0.1.0
short_description: The state of the routers of a node
description:
  - Asks the HAProxy of each router about itself and the replicas, and the supervisors of those that get no requests.
  - M(fullrank.serving.router) manages them.
options:
  routes:
    description: RV(fullrank.serving.routes#module:routes).
    type: list
    elements: dict
    required: true
extends_documentation_fragment:
  - fullrank.serving.attributes
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read the state of the routers
  fullrank.serving.router_info:
    routes: "{{ found.routes }}"
"""

RETURN = r"""
routers:
  description: >-
    Name of each route → url (without C(/v1)), runs, ready (whether a replica is) and servers (name → ready and summary).
  returned: always
  type: dict
lines:
  description: For people, one for each route - where its deployment is found, and how its replicas are.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.router import status


def main() -> None:
    module = AnsibleModule(
        argument_spec={"routes": {"type": "list", "elements": "dict", "required": True}}, supports_check_mode=True
    )
    routers = status.state(module.params["routes"])
    lines = [status.line(name, router) for name, router in routers.items()]
    module.exit_json(changed=False, routers=routers, lines=lines)


if __name__ == "__main__":
    main()
