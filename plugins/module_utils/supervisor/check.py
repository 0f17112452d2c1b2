# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fullrank-check DEPLOYMENT: whether the deployment is ready, as this node's supervisor knows it.

Prints one line. Exit status 0: ready; 1: not ready; 2: there is no supervisor here, or it does not move.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

RUN = Path("/run/fullrank")
MOVES_S = 5.0
"""The supervisor writes its status each second; one that is older than this is not believed."""


def status(deployment: str, run: Path = RUN) -> dict[str, Any] | None:
    """What the supervisor of ``deployment`` wrote last; None when there is none, or it is too old to be believed."""
    try:
        state: dict[str, Any] = json.loads((run / f"{deployment}.json").read_text())
    except (OSError, ValueError):
        return None
    return state if time.clock_gettime(time.CLOCK_BOOTTIME) - state["at"] <= MOVES_S else None


def main() -> int:
    """The exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{__doc__.strip()}\n")
        return 2
    state = status(sys.argv[1])
    if state is None:
        sys.stdout.write(f"{sys.argv[1]}: no supervisor reports on this node\n")
        return 2
    where = f"{state['deployment']} rank {state['rank']} of {state['ranks']}"
    troubles = "".join(f"; {one}" for one in state.get("troubles", []))
    sys.stdout.write(f"{where}: {state['summary']} (epoch {state['epoch']}){troubles}\n")
    return 0 if state["ready"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
