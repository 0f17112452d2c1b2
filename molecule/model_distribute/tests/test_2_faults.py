# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the way: the others finish, or stop with a clear word, and the next run brings the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from transfers import ON_THE_WAY, TOTAL, Model, on_the_wire

UNIT = "$(systemctl list-units --plain --no-legend 'fullrank-weights-*' | cut -d' ' -f1)"

pytestmark = pytest.mark.usefixtures("slow")


def test_a_link_that_is_cut_and_healed_costs_time_only(
    model: Model, ground: Callable[..., str], arrived: Callable[[str], int]
) -> None:
    # longer than the link is away: that lasts until n4 has noticed, and half of the model has come past n3
    run = model.start("-e", "model_distribute_stall_timeout=120")
    model.wait_for("n3", TOTAL // 5)
    ground("cut", "n3")
    model.wait_for("n4", TOTAL // 2)  # past the node that is gone
    ground("heal", "n3")
    assert model.end(run)[0] == 0
    model.assert_everywhere("n2", "n3", "n4")
    # n3 lost its connections once, n4 those to n3 twice
    for node in ("n2", "n3", "n4"):
        assert arrived(node) < on_the_wire(TOTAL + 2 * ON_THE_WAY), node


def test_a_node_that_reboots_is_bypassed_and_gets_the_rest_by_the_next_run(
    model: Model, arrived: Callable[[str], int]
) -> None:
    run = model.start()
    model.wait_for("n3", TOTAL // 3)
    # from behind: the command that asks for it would die with the node
    model.on("n3", "sync; setsid sh -c 'sleep 0.2; systemctl reboot -ff' < /dev/null > /dev/null 2>&1 &")
    code, _ = model.end(run)
    assert code != 0
    model.assert_everywhere("n2", "n4")
    before, missing = arrived("n3"), TOTAL - model.here("n3")
    assert not model.ready("n3")
    assert model.run()[0] == 0
    model.assert_everywhere("n3")
    assert arrived("n3") - before < on_the_wire(missing + ON_THE_WAY)


def test_when_the_source_dies_all_say_so_and_the_next_run_brings_the_rest(
    model: Model, arrived: Callable[[str], int]
) -> None:
    run = model.start()
    model.wait_for("n4", TOTAL // 3)
    model.on("n1", f"systemctl kill --signal=KILL {UNIT}")
    model.wait_for_no_token("n1")
    code, text = model.end(run)
    assert code != 0
    for node in ("n2", "n3", "n4"):
        assert f"{node}: " in text and not model.ready(node)
    assert "bytes are missing, and nothing new came for" in " ".join(text.split())
    before, missing = arrived("n4"), TOTAL - model.here("n4")
    assert model.run()[0] == 0
    model.assert_everywhere("n2", "n3", "n4")
    assert arrived("n4") - before < on_the_wire(missing + ON_THE_WAY)


def test_a_disk_that_fills_up_stops_its_node_only_and_the_next_run_brings_the_rest(
    model: Model, arrived: Callable[[str], int]
) -> None:
    model.on("n3", f"mkdir -p {model.path} && mount -t tmpfs -o size=1100m none {model.path}")
    try:
        # somebody else needs the room as soon as the first slice is there
        begun = f"until [ -e {model.path}/.fullrank/partial ]; do sleep 0.1; done"
        fill = f"{begun}; head -c 1200m /dev/zero > {model.path}/others"
        model.on("n3", f"systemd-run --quiet --collect --unit=others sh -c '{fill}'")
        code, text = model.run()
        assert code != 0 and "No space left on device" in text
        model.assert_everywhere("n2", "n4")
        model.on("n3", f"rm {model.path}/others")
        before, missing = arrived("n3"), TOTAL - model.here("n3")
        assert 0 < missing < TOTAL
        assert model.run()[0] == 0
        model.assert_everywhere("n3")
        assert arrived("n3") - before < on_the_wire(missing + ON_THE_WAY)
    finally:
        model.on("n3", f"umount {model.path}")
