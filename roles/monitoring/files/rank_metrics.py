# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rank_metrics.py FOLDER: what the supervisors of this node's ranks report, for node exporter's textfile collector.

Written to FOLDER/fullrank.prom every few seconds. `/health` of an engine is not read: it is 200 while a rank is dead. What is
written is what `fullrank-check` reports, and what the operator wants (docs/supervision.md): a stopped deployment is not a fault.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EVERY_S = 5.0
MOVES_S = 5.0
"""A supervisor writes its status each second; one that is older than this is not believed (as in `fullrank-check`)."""

HELP = {
    "fullrank_rank_wanted": "Whether the operator wants this rank to run (its supervisor is enabled).",
    "fullrank_supervisor_up": "Whether the supervisor of this rank reports a status.",
    "fullrank_rank_up": "Whether the engine of this rank runs.",
    "fullrank_deployment_ready": "Whether all ranks run and the deployment answers, as this rank knows.",
    "fullrank_rank_epoch": "The epoch in which the engine of this rank was started last.",
}


def ranks(root: Path, now: float) -> Iterable[tuple[dict[str, str], dict[str, int]]]:
    """Labels and metrics of each rank that is set up on the node. now: CLOCK_BOOTTIME in seconds.

    ``head`` is the host of rank 0: it tells the groups of a deployment apart.
    """
    for config in sorted((root / "etc/fullrank").glob("*.supervisor.json")):
        settings = _read(config)
        if not settings:  # written or removed at this moment
            continue
        deployment = str(settings["deployment"])
        status = _read(root / f"run/fullrank/{deployment}.json")
        is_current = bool(status) and now - status["at"] <= MOVES_S
        wants = root / f"etc/systemd/system/multi-user.target.wants/fullrank-supervisor@{deployment}.service"
        yield (
            {"deployment": deployment, "head": str(settings["names"][0]), "rank": str(settings["rank"])},
            {
                "fullrank_rank_wanted": int(wants.is_symlink()),
                "fullrank_supervisor_up": int(is_current),
                "fullrank_rank_up": int(is_current and status["engine"] == "running"),
                "fullrank_deployment_ready": int(is_current and status["ready"]),
                "fullrank_rank_epoch": _epoch(root / f"run/fullrank/{deployment}.epoch"),
            },
        )


def text(found: Iterable[tuple[dict[str, str], dict[str, int]]]) -> str:
    """Prometheus' text format, each metric in one piece. Labels are names of an inventory and numbers: no escapes."""
    rows = list(found)
    lines = []
    for name, meaning in HELP.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for labels, values in rows:
            shown = ",".join(f'{label}="{value}"' for label, value in labels.items())
            lines.append(f"{name}{{{shown}}} {values[name]}")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content


def _epoch(path: Path) -> int:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def main() -> None:
    """Until it is ended."""
    target = Path(sys.argv[1]) / "fullrank.prom"
    work = target.with_name(".fullrank.prom.new")  # the collector reads *.prom
    while True:
        work.write_text(text(ranks(Path("/"), time.clock_gettime(time.CLOCK_BOOTTIME))))
        work.chmod(0o644)
        work.replace(target)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
