# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run is interrupted at ten moments: the run after it completes every copy, and only what was on its way comes twice.

Takes minutes: `make test-all` runs it, `make test` does not (FULLRANK_TEST_ALL).
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import pytest
from transfers import ON_THE_WAY, TOTAL, Model, on_the_wire

RECEIVERS = ("n2", "n3", "n4")
MOMENTS = 10

pytestmark = [
    pytest.mark.usefixtures("slow"),
    pytest.mark.skipif("FULLRANK_TEST_ALL" not in os.environ, reason="takes minutes: make test-all"),
]


def test_ten_interruptions(model: Model, arrived: Callable[[str], int]) -> None:
    rng = random.Random(3)
    for moment in range(MOMENTS):
        run = model.start()
        model.wait_for("n4", int(TOTAL * (moment + rng.random()) / (MOMENTS + 1)))
        how = rng.choice([signal.SIGINT, signal.SIGKILL])
        os.killpg(run.pid, how)
        run.communicate()
        if rng.random() < 0.5:  # the nodes' parts go on without the controller; half of the time they are ended as well
            for node in ("n1", *RECEIVERS):
                model.on(node, "systemctl kill --signal=KILL 'fullrank-weights-*'")
    assert model.run()[0] == 0
    model.assert_everywhere(*RECEIVERS)
    for node in RECEIVERS:
        assert arrived(node) < on_the_wire(TOTAL + MOMENTS * ON_THE_WAY), node
