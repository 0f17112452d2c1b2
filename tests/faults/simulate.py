#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation of supervisors (tests/unit/supervisor_world.py), many times over.

    simulate.py [--seeds 5000] [--first 0] [--hours 40]
    simulate.py --seed N                               one story again, with its traceback

Plays stories of loss, delay, repeated recordings, crashes, slow starts, full disks and two versions, each made from its seed;
starts a group of a thousand ranks, and counts the restarts of one of 32 without a fault in so many hours, 5 % of whose datagrams
are lost; and compares with the version before how soon a dead rank is noticed. Prints the seeds of stories that failed. Fails
when one did, when the thousand ranks took a minute or more, or when the 32 were restarted 0.1 times an hour or more.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean

from ansible.plugins.loader import init_plugin_loader

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests/unit"))
init_plugin_loader([str(CHECKOUT / "collections")])

import supervisor_world

MOST_AN_HOUR = 0.1
LOSS = 0.05
NOTICES = 200
MANY, START_MOST_S = 1000, 60


def failed(seed: int) -> str:
    """What went wrong in a story; empty when nothing did."""
    try:
        supervisor_world.play(seed)
    except Exception as error:  # whatever it is, the seed tells how to see it again
        return f"{type(error).__name__}: {error}"
    return ""


def restarted(hour: int) -> int:
    """In one hour without a fault."""
    return supervisor_world.restarts(seed=hour, loss=LOSS, hours=1)


def started(seed: int) -> float:
    """Seconds until a large group is ready, whose head listens after the others came."""
    return supervisor_world.start(seed, MANY, LOSS)


def noticed(fault: str, loss: float, before: bool) -> str:
    """How soon, for people."""
    seconds = sorted(supervisor_world.notice(seed, fault, loss, before) for seed in range(NOTICES))
    return f"{fmean(seconds):.1f} s, at most {seconds[-1]:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--hours", type=int, default=40)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        supervisor_world.play(arguments.seed)
        return 0
    print("FAULT      LOSS  NOTICED                 BY THE VERSION BEFORE")
    for fault in ("die", "behead", "cut"):
        for loss in (0.0, LOSS):
            print(f"{fault:<10} {loss:>4.0%}  {noticed(fault, loss, False):<22}  {noticed(fault, loss, True)}")
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        bad = {seed: why for seed, why in zip(seeds, processes.map(failed, seeds, chunksize=20), strict=True) if why}
        for seed, why in bad.items():
            print(f"seed {seed}: {why}    (again: {sys.argv[0]} --seed {seed})")
        print(f"stories: {len(seeds)}, failed: {len(bad)}", flush=True)
        starts = [*processes.map(started, range(3))]
        print(
            f"start of {MANY} ranks at {LOSS:.0%} loss: {', '.join(f'{seconds:.0f} s' for seconds in starts)}",
            flush=True,
        )
        restarts = sum(processes.map(restarted, range(arguments.hours)))
    print(f"restarts of 32 ranks without a fault at {LOSS:.0%} loss: {restarts} in {arguments.hours} hours")
    return (
        1
        if bad or max(starts) >= START_MOST_S or (arguments.hours and restarts >= MOST_AN_HOUR * arguments.hours)
        else 0
    )


if __name__ == "__main__":
    sys.exit(main())
