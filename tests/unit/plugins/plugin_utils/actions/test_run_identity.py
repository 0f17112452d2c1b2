# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run it is, and whether it still lives."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import run_identity


def test_this_process_lives_and_one_that_has_ended_is_dead() -> None:
    assert not run_identity.is_dead(run_identity.identity(os.getpid()))
    child = subprocess.Popen(["sleep", "60"])
    run = run_identity.identity(child.pid)
    assert not run_identity.is_dead(run)
    child.kill()
    child.wait()
    assert run_identity.is_dead(run)


def test_a_number_that_came_again_is_another_run() -> None:
    boot, namespace, pid, _started = json.loads(run_identity.identity(os.getpid()))
    assert run_identity.is_dead(json.dumps([boot, namespace, pid, "1"]))


def test_of_a_run_elsewhere_nothing_is_known(tmp_path: Path) -> None:
    boot, namespace, pid, _started = json.loads(run_identity.identity(os.getpid()))
    for other in (["another", namespace, pid, "1"], [boot, "pid:[7]", pid, "1"], "x"):
        assert not run_identity.is_dead(json.dumps(other))
    assert not run_identity.is_dead("") and not run_identity.is_dead(json.dumps(["", "", pid, "1"]))
    # a controller without /proc
    assert not run_identity.is_dead(run_identity.identity(1, tmp_path), tmp_path)


def test_the_sentence_has_since_when_by_which_user_and_the_remedy() -> None:
    text = run_identity.why(
        "chat", {"since": 0.0, "until": 60.0, "by": "root@ops1"}, "/run/fullrank/chat.run.json", "gpu1"
    )
    assert text.startswith("another run is at work on chat since ") and ", by root@ops1:" in text
    assert "/run/fullrank/chat.run.json on gpu1" in text
