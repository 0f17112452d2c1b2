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
  obstacles:
    description: Look for what stands in the way of the routers, before engines are started.
    type: bool
    default: false
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
findings:
  description: >-
    What stands in their way, with severity, code, where, message, remedy and data - ports that others hold, names that the node
    does not know, certificates that are not there or not usable. A router with nothing in its way is among them.
  returned: O(obstacles) is true
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.router import obstacles, status


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "routes": {"type": "list", "elements": "dict", "required": True},
            "obstacles": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    routes = module.params["routes"]
    routers = status.state(routes)
    result: dict[str, Any] = {
        "routers": routers,
        "lines": [status.line(name, router) for name, router in routers.items()],
    }
    if module.params["obstacles"]:
        held = sorted({port for route in routes for port in obstacles.ports(route)})
        result["findings"] = obstacles.before_engines(routes, listeners.holders(Host(), held), status.version())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
