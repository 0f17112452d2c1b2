# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the deployments answer."""

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoints
version_added: 0.1.0
short_description: Where the deployments of the inventory answer
description:
  - Returns the OpenAI-compatible endpoint of each child group of C(deployments), with its key.
  - The address is that of P(fullrank.serving.endpoint#lookup), the router's where there is one; the key that of
    P(fullrank.serving.engine_key#lookup).
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Show the endpoint of each model
  ansible.builtin.debug:
    msg: "{{ lookup('fullrank.serving.endpoints') | map(attribute='url') }}"
"""

RETURN = r"""
_raw:
  description:
    - For each deployment a dictionary of C(name), C(url) with its C(/v1), C(key), empty where none is wanted, C(model), its name
      for clients, C(engine) and C(task).
  type: list
  elements: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import served_model_name
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import (
    deployments,
    replicas_of,
    variables_of,
)


class LookupModule(LookupBase):
    """The lookup ``fullrank.serving.endpoints``."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, str]]]:
        if terms or kwargs or not variables:
            raise AnsibleLookupError("fullrank.serving.endpoints takes no arguments")
        names = [one.name for one in deployments(variables) or [] if one.hosts]
        places = self._ask("endpoint", names, variables)
        heads = [self._head(name, variables) for name in names]
        keys = [key for name in names for key in self._ask("engine_key", [name], variables)]
        # one term that is a list: a lookup of several terms is joined by commas
        return [
            [
                {
                    "name": name,
                    "url": place["url"],
                    "key": key,
                    "model": served_model_name(head),
                    "engine": str(head.get("engine_name") or ""),
                    "task": place["question"],
                }
                for name, place, key, head in zip(names, places, keys, heads, strict=True)
            ]
        ]

    def _head(self, name: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        head = replicas_of(variables, name)[0][0]
        return variables_of(variables, [head], ("engine_name", "engine_model", "engine_served_model_name"))[head]

    def _ask(self, lookup: str, terms: list[str], variables: dict[str, Any]) -> list[Any]:
        plugin = lookup_loader.get(f"fullrank.serving.{lookup}", loader=self._loader, templar=self._templar)
        return list(plugin.run(terms, variables=variables))
