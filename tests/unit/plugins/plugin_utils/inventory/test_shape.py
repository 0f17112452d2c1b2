# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import options
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import misspelt

ROOT = Path(__file__).resolve().parents[5]


def test_what_a_role_registers_is_no_misspelling() -> None:
    """The check of a later playbook in the same run finds it among the hosts' variables."""
    tasks = "\n".join(path.read_text() for path in sorted(ROOT.glob("roles/*/tasks/*.yml")))
    registered = sorted(
        set(re.findall(r"register: (\w+)", tasks)) - {name for role in options().values() for name in role}
    )
    assert "__engine_model_info" in registered
    assert misspelt(registered, options(), str) == []


def test_a_swapped_letter_is() -> None:
    (finding,) = misspelt(["engine_prot"], options(), str)
    assert finding["data"] == {"variable": "engine_prot", "meant": "engine_port"}
