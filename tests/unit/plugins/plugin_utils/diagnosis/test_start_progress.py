# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rank does while it starts: recorded lines, whole logs, and which rank waits for which."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import start_progress, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.start_progress import PHASES, Stage
from places import DATA

RECORDED = yaml.safe_load((DATA / "progress/recorded.yml").read_text())
STEPS = tables.progress()


def history(name: str) -> list[str]:
    """What would be shown while this log grows, line by line."""
    lines = (DATA / f"logs/{name}.log").read_text().splitlines()
    stages: list[str] = []
    for number in range(1, len(lines) + 1):
        stage = start_progress.stage(STEPS, lines[:number])
        if stage and (not stages or stages[-1] != stage.text):
            stages.append(stage.text)
    return stages


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: one["line"][:50])
def test_a_recorded_line(recorded: dict[str, str]) -> None:
    assert recorded["source"]
    stage = start_progress.stage(STEPS, ["something else", recorded["line"], "and then something that tells nothing"])
    assert stage is not None
    assert (stage.phase, stage.text) == (recorded["phase"], recorded["text"])


def test_every_step_has_a_recording() -> None:
    lines = [one["line"] for one in RECORDED]
    assert [step.text for step in STEPS if not any(step.pattern.search(line) for line in lines)] == []


def test_the_start_of_two_real_ranks() -> None:
    assert history("vllm-0.32.0-rank-0") == [
        "starting",
        "initialising gloo with 2 processes",
        "all 2 processes have met",
        "loading the model",
        "loading shard 0/1",
        "loading shard 1/1",
        "weights loaded",
        "KV cache for 262,144 tokens",
        "engine ready, starting its server",
        "serving",
    ]
    assert history("vllm-0.32.0-rank-1")[-1] == "weights loaded"


def test_the_start_of_a_real_sglang() -> None:
    assert history("sglang-0.5.23") == [
        "starting",
        "initialising the group",
        "the group has met",
        "loading the model",
        "loading shard 0/1",
        "loading shard 1/1",
        "weights loaded",
        "KV cache for 4096 tokens",
        "engine ready, starting its server",
        "serving",
    ]


# states as docker prints them without a terminal, from the pull of open-chat-video-editor (its issue 14)
PULL = [
    "retrival: Pulling from iamjunhonghuang/open-chat-video-editor",
    "2d473b07cdd5: Pulling fs layer",
    "2144867bd1ad: Pulling fs layer",
]


def test_a_pull_is_counted_in_layers() -> None:
    assert start_progress.stage(STEPS, PULL) == Stage("pull", "pulling 0 % (0 of 2 layers)")
    more = [*PULL, "2d473b07cdd5: Verifying Checksum", "2d473b07cdd5: Download complete", "2d473b07cdd5: Pull complete"]
    assert start_progress.stage(STEPS, more) == Stage("pull", "pulling 50 % (1 of 2 layers)")
    assert start_progress.stage(STEPS, [*more, "6661021dc03d: Already exists", "2144867bd1ad: Pull complete"]) == Stage(
        "pull", "pulling 100 % (3 of 3 layers)"
    )


def test_a_log_that_tells_nothing() -> None:
    assert start_progress.stage(STEPS, []) is None
    assert start_progress.stage(STEPS, ["INFO: hello"]) is None


def test_which_rank_waits_for_which() -> None:
    meeting = Stage("meet", "initialising NCCL", waits=True)
    loading = Stage("load", "loading shard 12/163")
    loaded = Stage("loaded", "weights loaded", waits=True)
    pulling = Stage("pull", "pulling 43 % (3 of 7 layers)")
    assert start_progress.words(0, {0: meeting}) == "initialising NCCL"
    assert start_progress.words(0, {0: meeting, 1: meeting}) == "initialising NCCL"
    assert start_progress.words(0, {0: meeting, 1: meeting, 3: pulling}) == (
        "initialising NCCL, waiting for rank 3 (pulling 43 % (3 of 7 layers))"
    )
    assert start_progress.words(0, {0: loaded, 1: loaded, 2: loading, 3: loading}) == (
        "weights loaded, waiting for rank 2 and 1 more (loading shard 12/163)"
    )
    assert start_progress.words(2, {0: meeting, 2: loading}) == "loading shard 12/163"


def test_phases_are_in_the_order_in_which_they_come() -> None:
    for name in ("vllm-0.32.0-rank-0", "sglang-0.5.23"):
        lines = (DATA / f"logs/{name}.log").read_text().splitlines()
        stages = [start_progress.stage(STEPS, lines[: number + 1]) for number in range(len(lines))]
        places = [PHASES.index(stage.phase) for stage in stages if stage]
        assert places == sorted(places)
