#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a running group on two nodes of the test ground, at random moments, under a light load of clients.

    faults.py [--engine vllm|standin] [--times N] [--only FAULT …] [--json FILE]
    faults.py --soak SECONDS [--engine …]              random ranks killed, one after the other
    faults.py --engine standin --busy …                first: an engine that works must be left alone, one that hangs not

Brings the deployment up by the chain, then causes each fault N times and watches, from outside, when the head's supervisor
stops saying ready (that is what a router and `fullrank-check` see), when the group answers again by itself, how many
requests were lost, and whether anything answered while no epoch ran. Fails when a fault was not noticed within
FAULTS_NOTICE_S (10 seconds, a requirement), when the group did not come back within FAULTS_BACK_S, or when a half group answered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
GROUND = CHECKOUT / "tests/ground/ground.py"
NET = os.environ.get("GROUND_NET", "10.77.0")
HEAD = f"{NET}.11"
READY = f"http://{HEAD}:29600/ready"
COMPLETIONS = f"http://{HEAD}:8000/v1/completions"
NOTICE_S = float(os.environ.get("FAULTS_NOTICE_S", "10"))
BACK_S = float(os.environ.get("FAULTS_BACK_S", "900"))
CUT_S = 20
UNIT = "fullrank-rank@tiny.service"
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def say(text: str) -> None:
    print(text, flush=True)


def ground(*arguments: str) -> str:
    return subprocess.run([str(GROUND), *arguments], check=False, capture_output=True, text=True, timeout=60).stdout


def on(node: str, command: str) -> float:
    """Run it on the node; the moment in which it began there, on our clock: nodes of the ground have the same one."""
    words = ground("exec", node, f"date +%s.%N; {command}").split()
    return float(words[0]) - time.time() + time.monotonic() if words else time.monotonic()


def ask(prompt: str, timeout: float) -> bool:
    """Whether a completion was answered."""
    body = json.dumps({"model": "tiny", "prompt": prompt, "max_tokens": 4}).encode()
    request = urllib.request.Request(COMPLETIONS, body, {"Content-Type": "application/json"})
    try:
        with _opener.open(request, timeout=timeout) as answer:
            return bool(json.load(answer)["choices"])
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Look:
    """What the head's supervisor reports: ready, and the epoch; -1 when it does not answer."""

    at: float
    ready: bool
    epoch: int


@dataclass(frozen=True)
class Request:
    """A client's request, and whether it was answered."""

    began: float
    ended: float
    answered: bool


class Watch:
    """Looks at the head, and asks like clients do, until the end."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.requests: list[Request] = []
        for task in (self._look, self._ask, self._ask):
            threading.Thread(target=task, daemon=True).start()

    def _look(self) -> None:
        while True:
            try:
                with _opener.open(READY, timeout=2) as answer:
                    status = json.load(answer)
            except urllib.error.HTTPError as not_ready:
                status = json.load(not_ready)
            except (OSError, ValueError):
                status = {"ready": False, "epoch": -1}
            self.looks.append(Look(time.monotonic(), status["ready"], status["epoch"]))
            time.sleep(0.2)

    def _ask(self) -> None:
        while True:
            began = time.monotonic()
            answered = ask("Are all ranks up?", 15)
            self.requests.append(Request(began, time.monotonic(), answered))
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))

    def first(self, after: float, limit: float, wanted: Callable[[Look], bool]) -> float | None:
        """When the first look after ``after`` was as wanted; None when none was within ``limit`` seconds from now."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            for look in self.looks:
                if look.at > after and wanted(look):
                    return look.at
            time.sleep(0.1)
        return None

    def answered_without_epoch(self, after: float) -> int:
        """Answers to requests that began and ended while the head reported that no epoch runs: a half group would give them."""
        wrong = 0
        for request in [r for r in self.requests if r.answered and r.began > after]:
            around = [look for look in self.looks if request.began - 0.5 < look.at < request.ended + 0.5]
            wrong += bool(around) and all(look.epoch == 0 for look in around)
        return wrong


@dataclass
class Result:
    """One fault. Seconds; back_s is from the repair for a fault that is repaired by hand (the cut link)."""

    fault: str
    node: str
    noticed_s: float | None
    back_s: float | None
    lost: int
    requests: int
    half: int

    @property
    def good(self) -> bool:
        return self.noticed_s is not None and self.noticed_s <= NOTICE_S and self.back_s is not None and not self.half


def kill(node: str) -> float:
    return on(node, f"kill -9 $(systemctl show --value --property=MainPID {UNIT})")


def hang(node: str) -> float:
    return on(node, f"systemctl kill --signal=STOP {UNIT}")


def reboot(node: str) -> float:
    return on(node, "systemd-run --quiet --on-active=0.1 systemctl reboot")


def cut(node: str) -> float:
    ground("cut", node)
    return time.monotonic()


def power_cut(node: str) -> float:
    """Without any farewell (reboot(2)); both nodes."""
    began = time.monotonic()
    both = [threading.Thread(target=on, args=(n, "systemctl reboot --force --force")) for n in ("n1", "n2")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    return began


FAULTS: dict[str, tuple[Callable[[str], float], tuple[str, ...]]] = {
    "killed rank": (kill, ("n2",)),
    "killed head": (kill, ("n1",)),
    "rebooted node": (reboot, ("n2", "n1")),
    "hung rank": (hang, ("n2", "n1")),
    "cut link": (cut, ("n2",)),
    "power cut": (power_cut, ("all",)),
}


def cause(watch: Watch, fault: str, node: str) -> Result:
    act, _ = FAULTS[fault]
    began = act(node)
    noticed = watch.first(began, NOTICE_S * 3, lambda look: not look.ready)
    repaired = began
    if fault == "cut link":
        time.sleep(max(0.0, began + CUT_S - time.monotonic()))
        ground("heal", node)
        repaired = time.monotonic()
    back = watch.first(max(noticed or began, repaired), BACK_S, lambda look: look.ready)
    time.sleep(2)
    requests = [r for r in list(watch.requests) if began <= r.ended and r.began <= (back or r.began)]
    return Result(
        fault,
        node,
        round(noticed - began, 1) if noticed else None,
        round(back - repaired, 1) if back else None,
        sum(not r.answered for r in requests),
        len(requests),
        watch.answered_without_epoch(began),
    )


def busy_then_hung(watch: Watch) -> bool:
    """A request that is longer than the limit (standin.yml) and counts its tokens; then one that stops everything."""
    epoch = watch.looks[-1].epoch
    began = time.monotonic()
    ask("work 60", 120)
    worked = time.monotonic() - began
    alone = all(look.epoch == epoch for look in watch.looks if look.at > began)
    say(f"busy for {worked:.0f} s, no other answer meanwhile: {'left alone' if alone else 'KILLED'}")
    began = time.monotonic()
    ask("hang", 2)
    ended = watch.first(began, 120, lambda look: look.epoch != epoch)
    back = watch.first(ended or began, BACK_S, lambda look: look.ready)
    say(f"hung: ended after {ended - began:.0f} s, back" if ended and back else "hung: NOT ended, or not back")
    return alone and bool(back)


def table(results: list[Result]) -> str:
    lines = [f"{'FAULT':<15}{'NODE':<6}{'NOTICED':>9}{'BACK':>8}{'LOST':>6}{'OF':>5}{'HALF':>6}"]
    lines += [
        f"{r.fault:<15}{r.node:<6}{r.noticed_s or '-':>8} {r.back_s or '-':>7} {r.lost:>5}{r.requests:>5}{r.half:>6}"
        + ("" if r.good else "   WRONG")
        for r in results
    ]
    return "\n".join(lines)


def bring_up(engine: str) -> None:
    command = [
        "ansible-playbook",
        "playbooks/engines.yml",
        "-i",
        "inventories/local",
        "-i",
        "molecule/shared/inventory/addresses.yml",
    ]
    extra = ["-e", '{"comm_check_gate": false}']
    if engine == "standin":
        extra += ["-e", "@tests/faults/standin.yml"]
    say(f"-- {' '.join(command + extra)}")
    done = subprocess.run([*command, *extra], check=False, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["vllm", "standin"], default="vllm")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bring_up(arguments.engine)
    watch = Watch()
    if watch.first(0, 60, lambda look: look.ready) is None:
        raise SystemExit("the deployment does not report that it is ready")
    results: list[Result] = []
    judged = busy_then_hung(watch) if arguments.busy else True
    if arguments.soak:
        plan = [("killed rank", "n2"), ("killed head", "n1")]
        until = time.monotonic() + arguments.soak
        faults = iter(lambda: random.choice(plan) if time.monotonic() < until else None, None)
    else:
        faults = iter(
            [(name, random.choice(FAULTS[name][1])) for _ in range(arguments.times) for name in arguments.only]
        )
    for fault, node in faults:
        time.sleep(random.uniform(20, 30))  # longer than the group needs to count as stable after one failure
        results.append(cause(watch, fault, node))
        say(table(results[-1:]))
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
        if results[-1].back_s is None:
            break
    say(f"\n{table(results)}")
    answered = sum(r.answered for r in watch.requests)
    say(f"requests in all: {len(watch.requests)}, answered: {answered}")
    return 0 if judged and all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
