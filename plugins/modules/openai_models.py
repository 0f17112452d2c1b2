#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which models a node finds behind OpenAI-compatible endpoints."""

from __future__ import annotations

DOCUMENTATION = r"""
module: openai_models
version_added: 0.1.0
short_description: Which models a node finds behind OpenAI-compatible endpoints
description:
  - Asks each endpoint for its models (C(GET /models)) from the node, all at once, each with its key.
  - Never fails; RV(endpoints[].error) says what is wrong.
options:
  endpoints:
    description: Whom to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Address with its C(/v1).
        type: str
        required: true
      key:
        description: The key, where one is wanted.
        type: str
        default: ""
      name:
        description: How people call it.
        type: str
        default: ""
  timeout:
    description: Seconds that each may take.
    type: float
    default: 10
extends_documentation_fragment:
  - fullrank.serving.attributes
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Ask what is served
  fullrank.serving.openai_models:
    endpoints:
      - {url: "http://gpu1:8000/v1", key: "{{ vault_key }}"}
  register: served
"""

RETURN = r"""
endpoints:
  description: In the order of the question.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: As given., type: str}
    url: {description: As given., type: str}
    models: {description: Names of models., type: list, elements: str}
    error: {description: What is wrong; empty when nothing is., type: str}
"""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# straight to the endpoint: a proxy that the node's environment names is for the outside
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(endpoint: dict[str, Any], timeout: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {endpoint['key']}"} if endpoint["key"] else {}
    models: list[str] = []
    error = ""
    try:
        request = urllib.request.Request(endpoint["url"].rstrip("/") + "/models", headers=headers)
        with _opener.open(request, timeout=timeout) as answer:
            models = [str(one["id"]) for one in json.load(answer)["data"]]
        error = "" if models else "it serves no model"
    except urllib.error.HTTPError as refused:
        key = "its key is refused" if endpoint["key"] else "it wants a key"
        error = f"HTTP {refused.code}{f': {key}' if refused.code in (401, 403) else ''}"
    except (OSError, ValueError, KeyError, TypeError) as broken:
        error = str(getattr(broken, "reason", broken)) or type(broken).__name__
    return {"name": endpoint["name"], "url": endpoint["url"], "models": models, "error": error}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoints": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "url": {"type": "str", "required": True},
                    "key": {"type": "str", "default": "", "no_log": True},
                    "name": {"type": "str", "default": ""},
                },
            },
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    given = module.params
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(lambda one: ask(one, given["timeout"]), given["endpoints"]))
    module.exit_json(changed=False, endpoints=found)


if __name__ == "__main__":
    main()
