# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators type, on three nodes with a stand-in engine: verb, limit and state, each with its outcome (`cells.yml`).

A state is made once, before the first of its cells, and is the same after each: a cell that changes something is the first of the
next state. ``-k "stopped and status"`` runs some; their states are made in any case.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cells import CHECKOUT, HERE, Cell, cells, play

TABLE = cells((HERE / "cells.yml").read_text())
ORDER = list(dict.fromkeys(cell.state for cell in TABLE))
GROUND = CHECKOUT / "tests/ground/ground.py"


def on(node: str, command: str) -> None:
    subprocess.run([str(GROUND), "exec", node, command], check=True, capture_output=True, text=True, timeout=120)


def fresh() -> None:
    play("remove.yml")


def converged() -> None:
    run = play("site.yml")
    assert run.rc == 0, run.text


def stopped() -> None:
    assert play("stop.yml").rc == 0


def half() -> None:
    """A run that was broken off: of two ranks one was written, and its supervisor waits."""
    converged()
    on("n2", "systemctl disable --now --quiet fullrank-supervisor@pair; rm /etc/systemd/system/fullrank-*@pair.service "
             "/etc/fullrank/pair.*; systemctl daemon-reload")  # fmt: skip


def leftover() -> None:
    """The deployment of n3 got another name in the inventory `inventory.renamed`, and nothing ran since."""
    converged()


MAKE = {function.__name__: function for function in (fresh, converged, stopped, half, leftover)}


class States:
    """Which state the nodes are in."""

    now = ""

    def reach(self, state: str) -> None:
        for name in ORDER[ORDER.index(self.now) + 1 if self.now else 0 : ORDER.index(state) + 1]:
            MAKE[name]()
            self.now = name


@pytest.fixture(scope="session")
def states() -> States:
    return States()


@pytest.mark.parametrize("cell", TABLE, ids=[cell.name for cell in TABLE])
def test_cell(cell: Cell, states: States) -> None:
    states.reach(cell.state)
    run = play(cell.verb, cell.arguments, cell.limit, cell.inventory)
    print(run.text)
    assert (run.rc, run.changed) == (cell.rc, cell.changed)
    assert cell.line in run.printed
    assert not cell.absent or cell.absent not in run.printed
    assert run.broken == []


def test_a_second_run_is_refused_and_a_run_of_another_controller_is_named() -> None:
    lock = '{"id": "another", "by": "root@ops1 (Upgrade, pid 7)", "since": 0, "until": 99999999999}'
    on("n1", f"mkdir -p /run/fullrank; echo '{lock}' > /run/fullrank/pair.run.json")
    refused = [play(verb, limit="pair") for verb in ("stop.yml", "engines.yml", "remove.yml")]
    looked = play("status.yml", limit="pair")
    on("n1", "rm /run/fullrank/pair.run.json")
    assert [(run.rc, run.changed) for run in refused] == [(2, 0)] * 3 and looked.rc in (0, 2)
    assert all(
        "another run is at work on pair since" in run.printed and "by root@ops1" in run.printed for run in refused
    )
    assert "another run" not in looked.printed


def test_the_table_is_a_matrix_of_its_own_size() -> None:
    assert len(TABLE) >= 150 and len({cell.name for cell in TABLE}) == len(TABLE)
    assert list(MAKE) == ORDER
    assert Path(os.environ["ANSIBLE_CONFIG"]).exists()
