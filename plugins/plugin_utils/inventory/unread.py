# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that look as if a role read them, and none does. Pure; private to this collection.

They are warnings, not failures: a play of the user's own may read them, which the inventory does not tell.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import RETURNED
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.check import either

SHARED = ("docker", "nvidia_driver", "nvidia_container_toolkit", "rdma")
"""Roles whose prefix variables of other collections have as well: ``docker_edition`` is geerlingguy.docker's,
``nvidia_driver_branch`` nvidia.nvidia_driver's. Of theirs only a misspelling is reported (`shape.misspelt`)."""
LIKENESS, MOST = 0.6, 2
"""difflib's ratio from which a name is shown as a near one, and how many are."""


def unread(
    names: Iterable[str],
    roles: Mapping[str, Collection[str]],
    where: Callable[[str], str],
    used: Callable[[str], bool],
    elsewhere: Callable[[str], str] = lambda _name: "",
) -> list[Finding]:
    """A warning for each name that begins as the variables of a role do and is none, and for options of the engine.

    names: of variables, without those that `shape.misspelt` refuses. roles, where, used: as there. elsewhere: what to write where
    a name is an option of the engine; empty where it is none.
    """
    known = {option: role for role, options in roles.items() for option in options}
    prefixes = {role: f"{role}_" for role in roles if role not in SHARED}
    findings = []
    for name in sorted(set(names) - set(known) - RETURNED):
        role = next((role for role, prefix in prefixes.items() if name.startswith(prefix)), "")
        remedy = elsewhere(name)
        if not (role or remedy) or used(name):
            continue
        if not remedy:
            prefix = prefixes[role]
            ends = sorted(option.removeprefix(prefix) for option in known if option.startswith(prefix))
            near = difflib.get_close_matches(name.removeprefix(prefix), ends, n=MOST, cutoff=LIKENESS)
            remedy = f"did you mean {either([prefix + one for one in near])}? " if near else "take it out. "
            remedy += f"Where a play of your own reads it, a name that does not begin with {prefix} avoids this warning"
        findings.append(warned("variable-unread", where(name), "no role reads it", remedy, variable=name))
    return findings
