# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `model_convert`, with a stand-in of systemd: what is needed, what is started, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fp8_model
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import conversion, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert.fp8_checkpoint import Scheme
from ansible_collections.fullrank.serving.plugins.modules import model_convert
from module_runner import call
from transient_standin import Systemd, properties

SHARDS = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]


class Node:
    """An FP8 model, and the options that convert it."""

    def __init__(self, work: Path, systemd: Systemd) -> None:
        self.systemd = systemd
        self.source, self.target = work / "fp8", work / "bf16"
        fp8_model.make(self.source)
        (work / "python").touch()
        self.options = {
            **{"source": str(self.source), "path": str(self.target), "python": str(work / "python")},
            "when": "always",
        }

    def call(self, **more: Any) -> dict[str, Any]:
        return call(model_convert, **{**self.options, **more})

    @property
    def folder(self) -> Path:
        return self.target / conversion.WORK

    def convert(self, *names: str) -> None:
        """What the program leaves of these shards: files of the right size, and their records."""
        work = conversion.look(self.source, Scheme("fp8", (128, 128)))
        for shard in work.shards:
            if shard["path"] in names:
                (self.target / shard["path"]).write_bytes(bytes(shard["size"]))
                record = {"identity": work.identity, **{name: shard[name] for name in ("path", "size", "sha256")}}
                (self.folder / shard["record"]).write_text(json.dumps(record))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, Systemd(tmp_path / "systemd", monkeypatch))


def test_the_program_is_sent_and_started_in_a_sandbox(node: Node) -> None:
    found = node.call()
    assert (found["changed"], found["running"], found["converted"]) == (True, True, SHARDS)
    [words] = node.systemd.calls("systemd-run")
    program, job = node.folder / conversion.program_name(0), node.folder / conversion.job_name(0)
    assert words[words.index("--") + 1 :] == [node.options["python"], str(program), str(job)]
    assert program.read_text() == payload.text(worker)
    assert [shard["path"] for shard in json.loads(job.read_text())["shards"]] == SHARDS
    assert properties(words)["ReadWritePaths"] == str(node.target)


def test_a_conversion_that_runs_is_joined_with_its_progress(node: Node) -> None:
    node.call()
    (node.folder / conversion.progress_name(0)).write_text('{"phase": "converting", "bytes": 5}')
    found = node.call()
    assert (found["running"], found["progress"]) == (True, {"phase": "converting", "bytes": 5})
    assert len(node.systemd.calls("systemd-run")) == 1


def test_all_shards_make_a_model_and_the_next_run_changes_nothing(node: Node) -> None:
    node.call()
    node.convert(*SHARDS)
    node.systemd.ended()
    found = node.call(start=False)
    assert (found["changed"], found["digest"]) == (True, folder.look(node.target).digest)
    assert found["left_out"] == ["pytorch_model.bin"]
    assert folder.look(node.target).ready and not node.folder.exists()
    again = node.call()
    assert (again["changed"], again["converted"], again["digest"]) == (False, [], found["digest"])


def test_an_end_before_time_names_the_reason_and_keeps_what_is_done(node: Node) -> None:
    node.call()
    node.convert(SHARDS[0])
    (node.folder / conversion.error_name(0)).write_text("CUDA out of memory\n")
    node.systemd.ended()
    found = node.call(start=False)
    assert found["failed"] and "CUDA out of memory" in found["msg"]
    assert node.call()["converted"] == SHARDS[1:]


def test_check_mode_predicts_and_touches_nothing(node: Node) -> None:
    found = node.call(check_mode=True)
    assert (found["changed"], found["converted"]) == (True, SHARDS)
    assert found["bytes"] > 0 and not node.target.exists() and node.systemd.calls("systemd-run") == []
    node.options["source"] = "/nowhere"
    assert node.call(check_mode=True)["why"] == "the source is not there yet"


@pytest.mark.parametrize(("capability", "needed"), [("8.0", True), ("9.0", False)])
def test_the_gpus_decide_unless_it_is_always(node: Node, capability: str, needed: bool) -> None:
    found = node.call(when="auto", capabilities=[capability], check_mode=True)
    assert (found["needed"], found["changed"]) == (needed, needed)


def test_several_nodes_share_the_shards_and_one_finishes(node: Node) -> None:
    first = node.call(nranks=2, rank=0, finish=False)["converted"]
    node.systemd.ended()
    second = node.call(nranks=2, rank=1, finish=False)["converted"]
    assert sorted(first + second) == SHARDS
    node.systemd.ended()
    node.convert(*first)
    found = node.call(nranks=2, start=False)
    assert found["failed"] and f"not yet converted: {', '.join(second)}" in found["msg"]


def test_an_interpreter_that_is_not_there_is_named(node: Node) -> None:
    found = node.call(python="/nowhere/python")
    assert found["failed"] and "/nowhere/python is not there" in found["msg"]


def test_a_source_that_is_not_ready_is_refused(node: Node) -> None:
    folder.unready(node.source)
    assert "is not ready" in node.call()["msg"]


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"runtime": "lxc"}, {"program": "x"}])
def test_options_that_it_does_not_know_are_refused(node: Node, options: dict[str, Any]) -> None:
    assert node.call(**options)["failed"]


@pytest.mark.parametrize("check", [False, True])
def test_a_folder_of_others_is_refused_before_anything_is_made(node: Node, check: bool) -> None:
    node.target.mkdir()
    (node.target / "secret.conf").touch()
    found = node.call(_ansible_check_mode=check)
    assert found["failed"] and "holds secret.conf and has no .fullrank" in found["msg"]
    assert [one.name for one in node.target.iterdir()] == ["secret.conf"]
