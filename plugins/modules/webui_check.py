#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open WebUI, checked as a browser uses it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: webui_check
version_added: 0.1.0
short_description: Check Open WebUI as a browser uses it
description:
  - Requests its health, its models without a login, and, as the administrator, its models and an answer that streams.
  - Every model of O(backends) must be shown.
  - Does not fail on what it finds, so that callers can show all of it first.
options:
  name:
    description: Name for people.
    type: str
    required: true
  url:
    description: Address as the node itself reaches it.
    type: str
    required: true
  certificate:
    description:
      - PEM file on the node with the very certificate that it must show for C(https). Its names do not matter, as such an
        address is in none.
    type: path
    default: ""
  email:
    description: Account to log in with. Where the password was changed in the web this is reported, and models are not requested.
    type: str
    required: true
  password:
    description: The password.
    type: str
    required: true
  backends:
    description:
      - The endpoints that it serves models of, as found beforehand. Each has C(name), C(url), C(models) (a list of their ids) and
        C(error), which is empty where the endpoint answers, and may have C(task). Only models of those that V(generate) are to
        chat with.
    type: list
    elements: dict
    required: true
  backends_required:
    description: Whether a backend that does not answer is a failure.
    type: bool
    default: true
  embedding:
    description: C(model) and C(url) by which documents are to be embedded; empty for none.
    type: dict
    default: {}
  timeout:
    description: Seconds for each answer.
    type: float
    default: 60
extends_documentation_fragment:
  - fullrank.serving.attributes
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Check the chat
  fullrank.serving.webui_check:
    name: chat
    url: http://127.0.0.1:8080
    email: admin@example.com
    password: "{{ vault_password }}"
    backends:
      - {name: tiny, url: "http://gpu1:8000/v1", models: [tiny], error: ""}
"""

RETURN = r"""
checks:
  description: What was found - severity (pass, warn or fail), code, where (O(name)), message, remedy and data.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks as endpoint_checks
from ansible_collections.fullrank.serving.plugins.module_utils.webui import checks as webui_checks


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "certificate": {"type": "path", "default": ""},
            "email": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "backends": {"type": "list", "elements": "dict", "required": True},
            "backends_required": {"type": "bool", "default": True},
            "embedding": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    chat = webui_checks.Chat(**{name: params[name] for name in ("name", "url", "email", "password")})
    trust = http_client.Trust(certificate=params["certificate"])
    ask = endpoint_checks.asker(params["timeout"], trust, most_events=webui_checks.ENOUGH_EVENTS)
    checks = webui_checks.look(chat, params["backends"], params["backends_required"], ask, params["embedding"])
    module.exit_json(changed=False, checks=checks)


if __name__ == "__main__":
    main()
