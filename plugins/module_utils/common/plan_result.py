# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module that plans for a node ends: with the plan, or with everything that forbids it.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, report


def end(module: Any, plan: dict[str, Any], judge: bool = True) -> None:
    """End an AnsibleModule with a plan and its ``findings``: those that forbid it fail the task, others are warnings. ``judge``
    False reports neither, for a removal."""
    failures = [one for one in plan["findings"] if one["status"] == FAIL]
    if failures and judge:
        module.fail_json(msg=report(failures), **plan)
    for one in plan["findings"] if judge else ():
        module.warn(f"{one['where']}: {one['message']}; {one['remedy']}")
    module.exit_json(changed=False, **plan)
