# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's program as files for a node. Pure; private to this collection.

The program is made of these very modules. They travel to the node as every util of a module does; here they say their own
text, with the collection's package replaced by one that stands alone.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils import (
    completion,
    daemon,
    group_agent,
    group_check,
    group_core,
    group_engine,
    group_pulse,
    group_wire,
    host,
    manifest,
    owners,
    systemd,
    units,
    weights,
)

_HERE = "ansible_collections.fullrank.serving.plugins.module_utils"
_PARTS = (
    completion,
    daemon,
    group_agent,
    group_core,
    group_engine,
    group_pulse,
    group_wire,
    host,
    manifest,
    owners,
    systemd,
    units,
    weights,
)


def sources() -> dict[str, str]:
    """File name → text of each module of the package ``fullrank_group``."""
    texts = {f"{part.__name__.rpartition('.')[2]}.py": inspect.getsource(part) for part in _PARTS}
    return {"__init__.py": ""} | {
        name: text.replace(f"from {_HERE}", f"from {units.GROUP_PACKAGE}") for name, text in texts.items()
    }


def check() -> str:
    """The text of the program ``fullrank-check``, which stands alone."""
    return inspect.getsource(group_check)


def is_ours(path: Path) -> bool:
    """Whether a path on a node is part of the program: not worth a diff of thousand lines."""
    return path.parent.name == units.GROUP_PACKAGE or path.name == "fullrank-check"
