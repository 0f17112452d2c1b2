# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of a rank is gone, or the reason is returned."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.rank import containers


class Runtime:
    """A runtime with one container that goes at the removal number ``goes_at``; 0: it never goes."""

    def __init__(self, goes_at: int, there: bool = True) -> None:
        self.goes_at, self.there, self.removals = goes_at, there, 0

    def __call__(self, words: Sequence[str]) -> tuple[int, str, str]:
        if words[1] == "container":
            return (0 if self.there else 1), "", ""
        self.removals += 1
        self.there = self.removals != self.goes_at
        return (1, "", "removal is already in progress\n") if self.there else (0, "", "")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "PAUSE_S", 0.0)


@pytest.mark.parametrize(("goes_at", "there", "removals"), [(0, False, 0), (1, True, 1), (3, True, 3)])
def test_a_container_is_gone(goes_at: int, there: bool, removals: int) -> None:
    runtime = Runtime(goes_at, there)
    assert containers.remove(runtime, "/usr/bin/docker", "fullrank-rank-tiny") == ""
    assert runtime.removals == removals


def test_a_container_that_stays_is_reported() -> None:
    assert containers.remove(Runtime(0), "/usr/bin/docker", "fullrank-rank-tiny") == (
        "the container fullrank-rank-tiny is still there: "
        "/usr/bin/docker rm --force fullrank-rank-tiny: removal is already in progress"
    )


def test_every_runtime_that_is_here_removes_each_name_until_one_cannot() -> None:
    programs = {"docker": "/usr/bin/docker", "nerdctl": "/opt/nerdctl"}
    seen: list[str] = []

    def run(words: Sequence[str]) -> tuple[int, str, str]:
        seen.append(" ".join([words[0], words[-1]]))
        return 1, "", ""  # there is none

    assert containers.remove_all(run, programs.get, ["a", "b"]) == ""
    assert seen == [f"{program} {name}" for name in "ab" for program in programs.values()]
    stuck = containers.remove_all(Runtime(0), programs.get, ["a"])
    assert stuck.startswith("the container a is still there: /usr/bin/docker")
