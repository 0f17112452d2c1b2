# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module that plans for a node ends: with the plan, or with everything that forbids it.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import WARN, failures, lines


def end(module: Any, plan: dict[str, Any], judge: bool = True) -> None:
    """End an AnsibleModule with a plan and its ``findings``: those that forbid it fail the task, others are warnings. ``judge``
    False reports neither, for a removal."""
    if judge and (message := failures(plan["findings"])):
        module.fail_json(msg=message, **plan)
    for warning in lines(plan["findings"], WARN) if judge else ():
        module.warn(warning)
    module.exit_json(changed=False, **plan)
