# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The key of a deployment's endpoint."""

from __future__ import annotations

DOCUMENTATION = r"""
name: engine_key
version_added: 0.1.0
short_description: The key that clients of a deployment must send
description:
  - Returns C(engine_api_key) of the deployment where it is set, otherwise the key that M(fullrank.serving.engine_key) made.
    An empty text where there is neither.
  - A file that cannot be read or decrypted is an error, and not an endpoint without a key.
  - Give the result to options that are not logged only.
options:
  _terms:
    description: The deployment, one name.
    type: str
    required: true
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Ask the endpoint
  ansible.builtin.uri:
    url: http://192.0.2.11:8000/v1/models
    headers:
      Authorization: "Bearer {{ lookup('fullrank.serving.engine_key', 'deepseek_r1') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The key.
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import key_file
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import head_of


class LookupModule(LookupBase):
    """The lookup ``fullrank.serving.engine_key``."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        if len(terms) != 1 or kwargs or not variables:
            raise AnsibleLookupError("fullrank.serving.engine_key takes the name of one deployment")
        (deployment,) = terms
        try:
            head_vars = variables["hostvars"][head_of(variables, deployment)]
        except ValueError as error:
            raise AnsibleLookupError(f"fullrank.serving.engine_key: {error}") from error
        if key := head_vars.get(key_file.VARIABLE):
            return [str(key)]
        path = key_file.place(head_vars, deployment)
        if not path or not Path(path).exists():
            return [""]
        try:
            return [key_file.key_of(self._loader.load_from_file(path, cache="none"), path)]
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from error
