# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a current rank: over a stand-in of systemd's answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.rank import unit_state
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state

RUNS = {"active": "active", "enabled": True, "spec_hash": "new"}


def seen(monkeypatch: pytest.MonkeyPatch, former: str = "", **states: dict[str, Any]) -> unit_state.UnitState:
    """states: ``rank``, ``supervisor`` and ``former``, beside what `RUNS` has."""
    units = {"rank": names.rank_unit("tiny"), "supervisor": names.supervisor_unit("tiny"), "former": "old.service"}
    known = {unit: {**RUNS, **states.get(one, {})} for one, unit in units.items()}
    monkeypatch.setattr(systemd_state, "rank_unit", names.rank_unit)
    monkeypatch.setattr(systemd_state, "state", lambda _run, unit: dict(known[unit]))
    there: Any = SimpleNamespace(there=bool(former), supervisor=former)
    return unit_state.UnitState("tiny", lambda _words: (0, "", ""), there)


def test_a_rank_is_current_when_it_runs_by_this_launch_and_will_after_a_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch).is_current("new") and not seen(monkeypatch).is_current("old")
    assert not seen(monkeypatch, rank={"active": "failed"}).is_current("new")
    assert not seen(monkeypatch, supervisor={"active": "inactive"}).is_current("new")
    assert not seen(monkeypatch, supervisor={"enabled": False}).is_current("new")


def test_a_supervisor_of_an_earlier_version_counts_while_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch, "old.service", supervisor={"active": "inactive", "enabled": False})
    assert found.is_current("new") and found.rank()["enabled"] and not found.supervisor()["enabled"]
