# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real engine: two replicas of one rank behind the router, one of which is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clients import PAIR, Load, ask, ready, until
from testinfra.host import Host

CLIENTS = 2


def test_a_real_engine_behind_the_router(play: Callable[..., Any], scenario: Path, nodes: dict[str, Host]) -> None:
    for step in ("playbooks/engines.yml", "playbooks/router.yml"):
        assert play(step, inventory=scenario / "engine").rc == 0
    assert ready(PAIR)["servers"] == {"n1": True, "n2": True}
    assert ask(PAIR, key=None)[0] == 401
    with Load(PAIR, CLIENTS) as load:
        until(lambda: len([one for one in load.requests if one.status == 200]) > 10)
        assert nodes["n1"].run("systemctl kill --signal=SIGKILL fullrank-rank@tiny.service").rc == 0
        noticed = until(lambda: not ready(PAIR)["servers"]["n1"])
        out = time.monotonic()
        until(lambda: len([one for one in load.since(out) if one.status == 200]) > 10)
        back = until(lambda: ready(PAIR)["servers"]["n1"], 600)
    print(f"vLLM: noticed by the router after {noticed:.1f} s, back {back:.1f} s later; {load}")
    assert load.lost == []
