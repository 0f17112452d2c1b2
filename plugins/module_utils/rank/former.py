# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rank under the names of the first versions, taken over by those of today without a restart of its engine. Private.

``DEPLOYMENT.group.json`` is there until the take-over is complete: an interrupted one is done again. A running engine keeps its
unit, whose file moves to /run. Its next start is by today's name, and a boot leaves nothing of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils.common import changes
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state

ENDS_S = 10.0
"""Seconds that systemd is given to see that a killed supervisor has ended."""


class Former:
    """What is left of a deployment's rank under its former names. run: AnsibleModule.run_command."""

    def __init__(self, deployment: str, run: systemd_state.Run) -> None:
        self.run = run
        self.deployment = deployment
        self.unit = names.former_rank_unit(deployment)
        self.supervisor = names.former_supervisor_unit(deployment)
        self.container = names.former_container(deployment)
        self.config = Path(names.former_config(deployment))
        self.secret = Path(names.former_secret(deployment))
        program = Path(names.PROGRAMS, deployment)
        self.programs = [program / "fullrank_group", program / "fullrank_supervisor"]
        self.parked = Path(names.FORMER_UNITS, self.unit)

    @property
    def there(self) -> bool:
        """Whether it still has to be taken over."""
        return self.config.exists()

    def units(self) -> list[str]:
        """Those of its units that can run, the supervisor first."""
        engine = [self.unit] if self.there or self.parked.exists() else []
        return [self.supervisor, *engine] if self.there else engine

    def files(self) -> list[Path]:
        """Its files, those of its launch among them; none where it is not there. The configuration comes last."""
        if not self.there:
            return []
        launch = [Path(path) for path in json.loads(self.config.read_text()).get("files", [])]
        previous = Path(names.previous_launch(self.deployment))  # written for the former names
        return [*launch, previous, Path(names.UNITS, self.supervisor), self.secret, self.config]

    def park(self) -> None:
        """Move the unit of an engine that runs to where it ends with it; the engine does not notice."""
        unit = Path(names.UNITS, self.unit)
        if unit.exists() and self._active(self.unit):
            changes.write(self.parked, unit.read_text(), 0o644)
        unit.unlink(missing_ok=True)

    def end_supervisor(self) -> bool:
        """End the former supervisor without its engine, which a SIGTERM would stop; whether it was enabled.

        Without a unit file there is no Restart= any more: it does not come back between the two.
        """
        enabled = systemd_state.state(self.run, self.supervisor)["enabled"]
        if enabled:
            self.run(["systemctl", "disable", "--quiet", self.supervisor], check_rc=True)
        Path(names.UNITS, self.supervisor).unlink(missing_ok=True)
        self.run(["systemctl", "daemon-reload"], check_rc=True)
        until = time.monotonic() + ENDS_S
        while self._active(self.supervisor) and time.monotonic() < until:
            self.run(["systemctl", "kill", "--signal=SIGKILL", self.supervisor])
            time.sleep(0.1)
        self.run(["systemctl", "reset-failed", self.supervisor])
        return bool(enabled)

    def forget(self, files: changes.Changes, keep: Iterable[Path]) -> list[Path]:
        """Remove its files but those of the launch that stay in use, and the unit of an engine that has ended; what went."""
        going = [path for path in self.files() if path not in set(keep)]
        if self.parked.exists() and not self._active(self.unit):
            going.insert(0, self.parked)
        removed = files.remove(going, Path(names.CONFIG))
        for program in filter(Path.exists, self.programs):
            files.remove_folder(program)
            if not files.check_mode and not any(program.parent.iterdir()):
                program.parent.rmdir()
        return removed

    def _active(self, unit: str) -> bool:
        return systemd_state.state(self.run, unit)["active"] not in ("inactive", "failed")
