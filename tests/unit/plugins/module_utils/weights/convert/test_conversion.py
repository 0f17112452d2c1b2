# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole checkpoint: what is written, in how many pieces, and what a killed conversion leaves."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import fp8_model
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import shards
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import conversion, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert.fp8_checkpoint import (
    CannotConvert,
    Scheme,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import Worker
from exact_bf16 import product
from transient_standin import properties

PROGRAM = payload.text(worker)
SCHEME = Scheme("fp8", (128, 128))
LIMIT_S = 300


def start(source: Path, target: Path, rank: int = 0, ranks: int = 1) -> tuple[list[str], subprocess.Popen[bytes]]:
    """The conversion as the module starts it, less systemd."""
    work = conversion.look(source, SCHEME)
    done = conversion.done(work, target)
    mine = conversion.share(work, rank, ranks)
    todo = [shard for shard in work.shards if shard["path"] in mine and shard["path"] not in done]
    folder = conversion.write_job(work, target, todo, PROGRAM, rank=rank, device="cpu", threads=2)
    command = [
        os.environ.get("FULLRANK_VLLM_PYTHON", "python3"),
        conversion.program_name(rank),
        conversion.job_name(rank),
    ]
    command[1:] = [str(folder / name) for name in command[1:]]
    return [shard["path"] for shard in todo], subprocess.Popen(command, stderr=subprocess.PIPE)


def convert(source: Path, target: Path, rank: int = 0, ranks: int = 1) -> list[str]:
    paths, process = start(source, target, rank, ranks)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors.decode()
    return paths


def finish(source: Path, target: Path) -> tuple[str, list[str]]:
    work = conversion.look(source, SCHEME)
    return conversion.finish(work, target, conversion.done(work, target))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "fp8"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "bf16"


@pytest.mark.engine
def test_the_whole_model(source: Path, target: Path) -> None:
    scales = fp8_model.make(source)
    assert (
        len(convert(source, target, 0, 2)) + len(convert(source, target, 1, 2)) == 3
    )  # two ranks, all shards, each once
    digest, left = finish(source, target)

    copy = weights_folder.look(target)
    assert copy.ready and copy.digest == digest and copy.manifest
    assert (
        weights_folder.verify(target, copy.manifest["files"]) == []
    )  # the hashes taken while writing are those of the files
    assert copy.manifest["source"] == fp8_model.SOURCE
    assert copy.manifest["conversion"] == conversion.conversion_of(weights_folder.look(source).digest)
    assert set(weights_folder.sizes(target)) == {one["path"] for one in copy.manifest["files"]}
    assert left == ["pytorch_model.bin"]

    index, config = (json.loads((target / name).read_text()) for name in (shards.INDEX, "config.json"))
    assert config == {"model_type": "stand-in", "torch_dtype": "bfloat16"}
    total = 0
    for number in range(3):
        path = f"model-{number + 1:05}-of-00003.safetensors"
        before, after = fp8_model.read_safetensors(source / path), fp8_model.read_safetensors(target / path)
        assert list(after) == [name for name, one in before.items() if "scale" not in name]
        assert {name for name, file in index["weight_map"].items() if file == path} == set(after)
        for name, (dtype, shape, data) in after.items():
            total += len(data)
            assert dtype == "BF16" and shape == before[name][1]
            if name not in scales:
                assert data == before[name][2]
                continue
            values, wide = scales[name]
            for at, code in enumerate(before[name][2]):
                row, column = divmod(at, shape[1])
                wanted = product(code, values[row // 128 * wide + column // 128])
                assert int.from_bytes(data[2 * at : 2 * at + 2], "little") == wanted
    assert index["metadata"]["total_size"] == total
    assert (target / "tokenizer.json").samefile(source / "tokenizer.json")
    assert not (target / conversion.WORK).exists()

    work = conversion.look(source, SCHEME)
    assert len(conversion.done(work, target)) == 3  # by the manifest: nothing is left to do


@pytest.mark.engine
def test_killed_at_ten_moments(source: Path, target: Path, tmp_path: Path) -> None:
    fp8_model.make(source, shards=24, rows=1024, columns=2048)
    whole = tmp_path / "whole"
    convert(source, whole)
    finish(source, whole)
    rng, started, kills = random.Random(7), [], 0
    while kills < 10:
        paths, process = start(source, target)
        if not paths:
            process.wait(LIMIT_S)
            break
        progress = target / conversion.WORK / conversion.progress_name(0)
        while not progress.exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)
        started.append(len(paths))
        kills += 1
        for path in target.glob("*.safetensors"):  # what is in its place is right, whenever it was killed
            assert path.read_bytes() == (whole / path.name).read_bytes()
        records = conversion.done(conversion.look(source, SCHEME), target)
        assert len(list(target.glob("*.safetensors"))) - len(records) in (
            0,
            1,
            2,
        )  # renamed, not yet recorded; one per thread
    left = convert(source, target)
    assert len(left) <= started[-1]
    assert started == sorted(started, reverse=True)  # nothing that was recorded is done again
    finish(source, target)
    assert weights_folder.look(target).digest == weights_folder.look(whole).digest
    assert weights_folder.verify(target, weights_folder.look(target).manifest["files"]) == []  # type: ignore[index]


def most_memory(process: subprocess.Popen[bytes]) -> int:
    """The most bytes of its own that a process had, as far as looking again and again tells; mapped files are not its own."""
    most = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()  # one that has ended has no RssAnon
        most = max([most, *(int(size) << 10 for size in re.findall(r"RssAnon:\s+(\d+) kB", status))])
        time.sleep(0.005)
    assert process.returncode == 0
    return most


@pytest.mark.engine
def test_memory_does_not_grow_with_the_shards(tmp_path: Path) -> None:
    """Two shards may be held; less than one is."""
    most = []
    for name, rows, columns in (("small", 256, 256), ("large", 8192, 8192)):
        fp8_model.make(tmp_path / name, 3, rows, columns)
        _, process = start(tmp_path / name, tmp_path / f"{name}-bf16")
        most.append(most_memory(process))
    assert most[0] > 0
    assert most[1] - most[0] < 2 * rows * columns


@pytest.mark.engine
def test_a_source_that_changed_on_disk_is_not_converted(source: Path, target: Path) -> None:
    fp8_model.make(source)
    path = source / "model-00002-of-00003.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.write_bytes(raw)
    _, process = start(source, target)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert (
        process.returncode
        and "model-00002-of-00003.safetensors" in errors.decode()
        and "fetch it again" in errors.decode()
    )
    assert "fetch it again" in conversion.error(target / conversion.WORK, 0)
    assert not (target / path.name).exists()


def test_records_of_another_conversion_do_not_count(source: Path, target: Path) -> None:
    fp8_model.make(source)
    work = conversion.look(source, SCHEME)
    record = target / conversion.WORK / work.shards[0]["record"]
    record.parent.mkdir(parents=True)
    (target / work.shards[0]["path"]).write_bytes(bytes(work.shards[0]["size"]))
    entry = {"path": work.shards[0]["path"], "size": work.shards[0]["size"], "sha256": "0" * 64}
    record.write_text(json.dumps({"identity": work.identity, **entry}))
    assert set(conversion.done(work, target)) == {entry["path"]}
    record.write_text(json.dumps({"identity": "another", **entry}))
    assert conversion.done(work, target) == {} and not record.exists()


def test_a_file_of_the_wrong_size_is_done_again(source: Path, target: Path) -> None:
    fp8_model.make(source)
    work = conversion.look(source, SCHEME)
    record = target / conversion.WORK / work.shards[0]["record"]
    record.parent.mkdir(parents=True)
    entry = {"path": work.shards[0]["path"], "size": work.shards[0]["size"], "sha256": "0" * 64}
    record.write_text(json.dumps({"identity": work.identity, **entry}))
    (target / entry["path"]).write_bytes(b"short")
    assert conversion.done(work, target) == {}


def test_a_disk_that_is_too_small(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fp8_model.make(source)
    work = conversion.look(source, SCHEME)
    assert conversion.lacking_space(target, work.shards) == ""

    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr(os, "statvfs", lambda _: Full)
    assert ", 4 KiB are free on" in conversion.lacking_space(target, work.shards)


@pytest.mark.parametrize("damage", ["header", "truncated", "unready", "config"])
def test_a_source_that_cannot_be_read(source: Path, damage: str) -> None:
    fp8_model.make(source)
    shard = source / "model-00001-of-00003.safetensors"
    if damage == "header":
        shard.write_bytes(b"\xff" * 5000)
    elif damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "unready":
        weights_folder.unready(source)
    else:
        (source / "config.json").write_text("{")
    with pytest.raises(CannotConvert):
        conversion.look(source, SCHEME)


WORKER = Worker(61000, 61000)
OPTIONS: dict[str, Any] = {"python": "/opt/v/bin/python", "rank": 0, "device": "auto", "timeout": 60}


def test_the_unit_writes_to_the_target_and_has_no_network(source: Path, target: Path) -> None:
    fp8_model.make(source)
    unit = conversion.unit(conversion.look(source, SCHEME), target, OPTIONS, WORKER)
    found = properties(transient.start_command(unit))
    assert (found["ReadWritePaths"], found["PrivateNetwork"], found["RuntimeMaxSec"]) == (str(target), "yes", "60")
    assert found["StandardError"] == f"append:{target}/{conversion.WORK}/{conversion.error_name(0)}"
    assert found["MemoryMax"] == str(16 << 30)
    assert not {"PrivateDevices", "MemoryDenyWriteExecute"} & set(found)  # GPUs, and PyTorch's compilers
    only_cpu = conversion.unit(conversion.look(source, SCHEME), target, OPTIONS | {"device": "cpu"}, WORKER)
    assert properties(transient.start_command(only_cpu))["PrivateDevices"] == "yes"


@pytest.mark.parametrize(
    ("user", "privileges"),
    [
        (WORKER, "--cap-drop ALL --volume"),
        (Worker(0, 0, "why"), "--cap-drop ALL --cap-add DAC_OVERRIDE --cap-add FOWNER --volume"),
    ],
)
def test_the_container_is_the_sandbox_where_there_is_one(
    source: Path, target: Path, user: Worker, privileges: str
) -> None:
    fp8_model.make(source)
    image = conversion.Image("r/e:1", "/usr/bin/docker", ["--memory", "64g"], gpus=True)
    unit = conversion.unit(conversion.look(source, SCHEME), target, OPTIONS | {"python": "python3"}, user, image)
    words = transient.start_command(unit)
    found = properties(words)
    assert not {"ProtectSystem", "MemoryMax"} & set(found) and "rm --force" in found["ExecStopPost"]
    command = words[words.index("--") + 1 :]
    text = " ".join(command)
    assert command[:2] == ["/usr/bin/docker", "run"] and command[-3:-2] == ["r/e:1"]
    for part in (
        # what a user gives comes later and counts
        *(
            f"--memory {16 << 30} --security-opt",
            f"--user {user.uid}:{user.uid} --network none",
            privileges,
            "no-new-privileges",
        ),
        *(f"--volume {source}:{source}:ro", f"--volume {target}:{target}", "--memory 64g --entrypoint python3"),
    ):
        assert part in text


def test_the_progress_has_the_shape_of_all_and_the_first_error_counts(tmp_path: Path) -> None:
    assert (conversion.progress(tmp_path, 0), conversion.error(tmp_path, 0)) == ({}, "")
    (tmp_path / conversion.error_name(0)).write_text("Traceback\nKilled\n")
    assert conversion.error(tmp_path, 0) == "Killed"
    state = {"phase": "failed", "bytes": 1, "total": 2, "files_done": 0, "files": 1, "error": "a.safetensors: wrong"}
    (tmp_path / conversion.progress_name(0)).write_text(json.dumps(state))
    assert conversion.progress(tmp_path, 0) == state
    assert conversion.error(tmp_path, 0) == "a.safetensors: wrong"
