#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain costs beyond the engine itself, on the two nodes of a running test ground (`make bench`).

Three times of one run: the engine's own start (both ranks by systemctl, at once, until a completion), the chain from nodes
without units to an answer, and the run that finds nothing to do. The last two are given as ratios to the first; seconds are
shown for orientation only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_runner

CHECKOUT = Path(__file__).resolve().parents[2]
GROUND = str(CHECKOUT / "tests/ground/ground.py")
RESULTS = CHECKOUT / ".cache/bench/chain.json"
ENDPOINT = "http://10.77.0.11:8000/v1/completions"
UNIT = "fullrank-rank@tiny.service"
LIMIT_S = 300


def timed(what: str, call: Callable[[], Any]) -> tuple[float, Any]:
    print(f"-- {what}", flush=True)
    started = time.monotonic()
    result = call()
    return time.monotonic() - started, result


def play(playbook: str) -> dict[str, Any]:
    """Run a playbook; its stats, and how many tasks really ran on each host."""
    tasks: Counter[str] = Counter()

    def count(event: dict[str, Any]) -> bool:
        if event["event"] in ("runner_on_ok", "runner_on_failed"):
            tasks[event["event_data"]["host"]] += 1
        return True  # keep the event: the stats are read from them

    run = ansible_runner.run(
        private_data_dir=str(CHECKOUT / ".cache/bench/runner"),
        project_dir=str(CHECKOUT),
        playbook=playbook,
        inventory=str(CHECKOUT / "inventories/local"),
        envvars={"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "PATH": os.environ["PATH"]},
        event_handler=count,
        quiet=True,
    )
    if run.rc:
        sys.exit(f"{playbook} failed:\n{run.stdout.read()}")
    return {"changed": sum(run.stats["changed"].values()), "tasks": dict(tasks)}


def on_both(command: str) -> None:
    """The same command on both nodes at once."""
    calls = [subprocess.Popen([GROUND, "exec", node, command]) for node in ("n1", "n2")]
    codes = [call.wait() for call in calls]
    if any(codes):
        sys.exit(f"{command}: failed")


def answer() -> None:
    """Wait until the endpoint completes one token."""
    body = json.dumps({"model": "tiny", "prompt": "ping", "max_tokens": 1}).encode()
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(ENDPOINT, body, {"Content-Type": "application/json"}), timeout=10
            ):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    sys.exit(f"no answer within {LIMIT_S} s")


def engine_alone() -> None:
    on_both(f"systemctl start {UNIT}")
    answer()


def main() -> None:
    (RESULTS.parent / "runner").mkdir(parents=True, exist_ok=True)
    play("playbooks/stop.yml")
    on_both(f"rm -f /etc/systemd/system/{UNIT} && systemctl daemon-reload")
    chain_s, chain = timed("the chain, from nodes without units", lambda: play("site.yml"))
    again_s, again = timed("the same again: nothing to do", lambda: play("site.yml"))
    if again["changed"]:
        sys.exit(f"the second run changed something: {again}")
    play("playbooks/stop.yml")
    engine_s, _ = timed("the engine alone: both ranks at once", engine_alone)
    play("playbooks/stop.yml")
    result = {
        "chain / engine": round(chain_s / engine_s, 2),
        "nothing to do / engine": round(again_s / engine_s, 2),
        "tasks per host, chain": chain["tasks"],
        "tasks per host, nothing to do": again["tasks"],
        "seconds": {"engine": round(engine_s, 1), "chain": round(chain_s, 1), "nothing to do": round(again_s, 1)},
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
