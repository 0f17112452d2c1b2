# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which deployment this host belongs to."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deployment
version_added: 0.1.0
short_description: The deployment that this host belongs to
description:
  - Returns the name of the child group of C(deployments) in which the current host stands.
  - Fails when it stands in none, or in several.
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Show the deployment of this host
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }} serves {{ lookup('fullrank.serving.deployment') }}"
"""

RETURN = r"""
_raw:
  description: The name of the group.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import deployments


class LookupModule(LookupBase):
    """The lookup ``fullrank.serving.deployment``."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        if terms or kwargs or not variables:
            raise AnsibleLookupError("fullrank.serving.deployment takes no arguments")
        host = variables["inventory_hostname"]
        names = [one.name for one in deployments(variables) or [] if host in one.hosts]
        if len(names) != 1:
            places = f"stands in {' and '.join(names)}" if names else "stands in no child group of 'deployments'"
            raise AnsibleLookupError(f"host {host} {places}: set engine_deployment to the group whose model it serves")
        return names
