# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd knows of a rank and of its supervisor, also while one of an earlier version is there. Private."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.rank.former import Former
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state


class UnitState:
    """Looks each time that it is called. name: of the deployment. run: runs a command."""

    def __init__(self, name: str, run: systemd_state.Run, former: Former) -> None:
        self._name, self._run, self._former = name, run, former

    def rank(self) -> dict[str, Any]:
        """The unit of the rank; ``enabled``: whether its supervisor starts it after a boot."""
        state = systemd_state.state(self._run, systemd_state.rank_unit(self._name))
        return state | {"enabled": self.supervising()["enabled"]}

    def supervising(self) -> dict[str, Any]:
        """The supervisor that is there, which may not be taken over yet."""
        unit = self._former.supervisor if self._former.there else names.supervisor_unit(self._name)
        return systemd_state.state(self._run, unit)

    def supervisor(self) -> dict[str, Any]:
        return systemd_state.state(self._run, names.supervisor_unit(self._name))

    def is_current(self, spec_hash: str) -> bool:
        """Whether the rank runs, was started from this launch, and will be after a boot."""
        state = self.rank()
        runs = state["active"] == "active" and state["spec_hash"] == spec_hash
        return bool(runs and self.supervising()["active"] == "active" and state["enabled"])
