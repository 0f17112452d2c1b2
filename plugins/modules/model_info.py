#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a folder of weights says about its model; read only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_info
version_added: 0.1.0
short_description: What a folder of weights says about its model
description:
  - Reads C(config.json) and the sizes of the safetensors files, which is what P(fullrank.serving.memory_fit#filter) needs.
  - A folder without them gives empty results, no error.
options:
  path:
    description: Folder of the weights.
    type: path
    required: true
extends_documentation_fragment:
  - fullrank.serving.attributes
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Look at the weights
  fullrank.serving.model_info:
    path: /srv/models/deepseek-r1
  register: model
"""

RETURN = r"""
config:
  description: Content of C(config.json); empty when there is none, or when it is no JSON object.
  returned: always
  type: dict
files:
  description: The C(*.safetensors) files in the folder, each with C(path) (relative to it) and C(size) in bytes.
  returned: always
  type: list
  elements: dict
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def weights(folder: Path) -> list[dict[str, Any]]:
    return [{"path": file.name, "size": file.stat().st_size} for file in sorted(folder.glob("*.safetensors"))]


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    folder = Path(module.params["path"])
    module.exit_json(changed=False, config=read_config(folder), files=weights(folder))


if __name__ == "__main__":
    main()
