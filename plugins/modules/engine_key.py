#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``engine_key``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_key
version_added: 0.1.0
short_description: Have a key for the endpoint of a deployment
description:
  - Makes a random key in a file on the controller, of mode 0600, where there is no such file yet. A file that is there stays.
  - The file is YAML with the variable C(engine_api_key), and can be encrypted by C(ansible-vault encrypt).
    P(fullrank.serving.engine_key#lookup) reads it.
  - The key itself is not returned.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  path:
    description: The file. C(group_vars/DEPLOYMENT.key.yml) beside the inventory when not set.
    type: path
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
attributes:
  check_mode:
    description: Reports that a key would be made.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Have a key
  fullrank.serving.engine_key:
    deployment: deepseek_r1
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
"""
