# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What routers get to know of keys."""

from __future__ import annotations

DOCUMENTATION = r"""
name: router_keys
version_added: 0.1.0
short_description: The keys of deployments, as their routers get to know them
description:
  - Returns for each deployment the key of its engine, and the hashes of the keys that clients may send. Nothing else has the keys
    of teams (C(router_keys)) on a router.
  - Its result is secret. Give it to M(fullrank.serving.router) and to nothing else.
options:
  _terms:
    description: Names of deployments.
    type: list
    elements: str
    required: true
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Route what the inventory has
  fullrank.serving.router:
    routes: "{{ found.routes }}"
    keys: "{{ query('fullrank.serving.router_keys', *(found.routes | map(attribute='name'))) }}"
"""

RETURN = r"""
_raw:
  description:
    - For each key deployment, name and sha256 (hexadecimal digits). The engine's own, with the name C(engine), has key as well. A
      deployment without any has none.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase
from ansible_collections.fullrank.serving.plugins.module_utils.router.words import ENGINE
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import router_keys
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import value
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import head_of


class LookupModule(LookupBase):
    """The lookup ``fullrank.serving.router_keys``."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        variables = variables or {}
        engine_key = lookup_loader.get("fullrank.serving.engine_key", loader=self._loader, templar=self._templar)
        found = []
        for name in terms:
            try:
                head_vars = variables["hostvars"][head_of(variables, name)]
            except ValueError as error:
                raise AnsibleLookupError(f"fullrank.serving.router_keys: {error}") from error
            key = engine_key.run([name], variables)[0]
            if not key and variables.get("ansible_check_mode") and value(head_vars, "engine_api_key_required"):
                key = "to-be-made"  # as the role engine does: that it would change is all there is to tell
            if key:
                own = {"deployment": name, "name": ENGINE, "sha256": router_keys.digest(key), "key": key}
                found.append(own)
            for team, sha256 in router_keys.hashes(head_vars.get(router_keys.VARIABLE) or {}).items():
                found.append({"deployment": name, "name": team, "sha256": sha256})
        return found
