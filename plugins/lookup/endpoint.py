# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a deployment answers, by the inventory alone."""

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoint
version_added: 0.1.0
short_description: Where a deployment answers
description:
  - Returns the endpoint of a deployment from the inventory; no node is contacted.
  - The address is the router's where the group C(router) has a host that routes the deployment, or where the deployment has
    C(engine_router_on_head), and that of the first replica's head otherwise.
options:
  _terms:
    description: Names of deployments.
    type: list
    elements: str
    required: true
  settings:
    description:
      - Variables of the deployments that do not stand in the inventory, C(engine_port) for instance. They win.
    type: dict
    default: {}
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Show the endpoint
  ansible.builtin.debug:
    msg: "{{ lookup('fullrank.serving.endpoint', 'deepseek_r1').url }}"
"""

RETURN = r"""
_raw:
  description:
    - Of each deployment url (for clients, ends with C(/v1)), task (what the model is served for), task_why (what that follows
      from), question (what the endpoint is asked for, O(fullrank.serving.rank_info#module:task)), routers (the url of each router
      that serves it), router_hosts (their hosts, in the same order) and replicas, each with name (the head's host), host (the
      address on which it serves), url, ready (answers 200 while the replica is ready, and the state of its group as JSON),
      certificate (the file on the head with the certificate that its engine serves by C(https); empty for plain HTTP) and
      servers, the same of the head and of each other rank that serves (vLLM's hybrid and external balancing).
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import (
    ROUTERS,
    WATCHERS,
    endpoint,
    listening,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import (
    head_of,
    replicas_of,
    variables_of,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import all_serving


class LookupModule(LookupBase):
    """The lookup ``fullrank.serving.endpoint``."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        settings = self.get_option("settings")
        router_hosts, watchers = (list(variables["groups"].get(group, [])) for group in (ROUTERS, WATCHERS))
        found = []
        for name in terms:
            try:
                head_of(variables, name)
                replicas = replicas_of(variables, name, settings.get("engine_replicas"))
            except ValueError as error:
                raise AnsibleLookupError(f"fullrank.serving.endpoint: {error}") from error
            known = variables_of(variables, [*router_hosts, *watchers, *(cut[0] for cut in replicas)])
            known |= {cut[0]: {**known[cut[0]], **settings} for cut in replicas}
            others = [host for host in all_serving(replicas, known) if host not in known]
            known |= {host: {**own, **settings} for host, own in variables_of(variables, others).items()}
            places = listening(name, replicas, router_hosts, watchers, known)
            found.append(endpoint(name, replicas, router_hosts, places))
        return found
