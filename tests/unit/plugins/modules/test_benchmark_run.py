# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `benchmark_run`, with a stand-in of vLLM's client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import benchmark_run
from module_runner import call, calls, program
from places import DATA

RECORDED = DATA / "benchmark/vllm-0.32.0.json"
WRITES = f"""
echo "key=$OPENAI_API_KEY offline=$HF_HUB_OFFLINE" >>"$(dirname "$0")/environment"
while [ $# -gt 0 ]; do
    case $1 in
        --result-dir) folder=$2 ;;
        --result-filename) name=$2 ;;
        --dataset-path) cp "$2" "$(dirname "$0")/prompts.json" ;;
    esac
    shift
done
cp {RECORDED} "$folder/$name"
"""


def measure(folder: Path, script: str = WRITES, **changes: Any) -> dict[str, Any]:
    (folder / "bin").mkdir()
    program(folder / "bin", "vllm", script)
    params = {
        "deployment": "tiny",
        "client": "vllm",
        "venv": str(folder),
        "url": "http://127.0.0.1:8000",
        "model": "tiny",
        "tokenizer": "/srv/tiny",
        "concurrency": [4],
        "requests": 8,
        "api_key": "sk-planted",
        **changes,
    }
    return call(benchmark_run, **{name: value for name, value in params.items() if value is not None})


def result_folder(folder: Path) -> Path:
    words = calls(folder / "bin")[0].split()
    return Path(words[words.index("--result-dir") + 1])


def test_a_run_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    result = measure(tmp_path, prompts=["one", "two", "three"])
    assert result["changed"] is False
    [run] = result["runs"]
    assert (run["concurrency"], run["requests"], run["completed"], run["failed"]) == (4, 8, 8, 0)
    assert not result_folder(tmp_path).exists()
    prompts = (tmp_path / "bin/prompts.json").read_text()
    assert [prompts.count(f'"{word}"') for word in ("one", "two", "three")] == [3, 3, 2]


def test_the_key_goes_by_the_environment_and_not_by_the_command(tmp_path: Path) -> None:
    result = measure(tmp_path)
    assert (tmp_path / "bin/environment").read_text() == "key=sk-planted offline=1\n"
    assert "sk-planted" not in calls(tmp_path / "bin")[0] + str(result["runs"])


@pytest.mark.parametrize(
    ("script", "changes", "message"),
    [
        ("echo refused >&2; exit 3", {}, "tiny, 4 at a time: vllm's client failed: refused"),
        (":", {}, "tiny, 4 at a time: vllm's client failed: no output"),
        ("sleep 5", {"timeout": 1}, "tiny, 4 at a time: not done after 1 s; raise benchmark_timeout"),
        (WRITES.replace(f"cp {RECORDED}", "cp /dev/null"), {}, "tiny, 4 at a time: not a result of vllm's client"),
    ],
)
def test_the_reason_of_a_failure(tmp_path: Path, script: str, changes: dict[str, Any], message: str) -> None:
    result = measure(tmp_path, script, **changes)
    assert result["failed"] and result["msg"].startswith(message)
    assert not result_folder(tmp_path).exists()


def test_in_a_container_every_command_goes_through_its_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{program(tmp_path, 'podman', 'exit 125').parent}:/usr/bin:/bin")
    result = measure(tmp_path, venv=None, container="engine", runtime="podman")
    assert result["failed"] and result["msg"] == "no temporary folder where the client runs: no output"
    [first, *_] = calls(tmp_path)
    assert first.startswith("podman exec --interactive --env HF_HUB_OFFLINE --env OPENAI_API_KEY engine mktemp ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"venv": None}, "one of the following is required: venv, container"),
        ({"container": "engine"}, "parameters are mutually exclusive: venv|container"),
        ({"client": "lmdeploy"}, "value of client must be one of"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in measure(tmp_path, **changes)["msg"]
