# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversion on disk: what is to do, what is done, and the new model's folder. Private to this collection.

``fp8_checkpoint`` decides what becomes of the tensors, ``worker`` computes; here are the files around that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import fp8_checkpoint
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert.fp8_checkpoint import (
    CannotConvert,
    Scheme,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.shards import INDEX, weight_files
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import Worker

WORK = f"{weights_manifest.PARTIAL}/convert"
KIND = "fp8-bf16"
REVISION = 2
"""To be raised when the same source would give other bytes."""
MEMORY_BYTES = 16 << 30
"""What a conversion may take (docs/decisions/166)."""
SPARE_BYTES = 64 << 20
LONGEST_HEADER = 100_000_000
"""Bytes; the library refuses longer ones too (https://github.com/huggingface/safetensors, "Format")."""


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None when there is no such file. Raises ``CannotConvert``."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CannotConvert(f"{path}: no JSON: {error}", "verify the source and fetch it again") from None
    if not isinstance(content, dict):
        raise CannotConvert(f"{path}: no JSON object", "verify the source and fetch it again")
    return content


def read_config(source: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """``config.json`` and ModelOpt's own file, where there is one."""
    config = read_json(source / fp8_checkpoint.CONFIG)
    if config is None:
        raise CannotConvert(f"{source / fp8_checkpoint.CONFIG} is not there", "give the folder of a model")
    return config, read_json(source / fp8_checkpoint.MODELOPT)


def read_header(path: Path, name: str) -> tuple[dict[str, fp8_checkpoint.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    try:
        with path.open("rb") as file:
            count = int.from_bytes(file.read(8), "little")
            if count > LONGEST_HEADER:
                raise ValueError(f"a header of {count} bytes")
            text = file.read(count)
        return fp8_checkpoint.parse_header(name, text), fp8_checkpoint.metadata(text)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CannotConvert(f"{path}: no safetensors file: {error}", "verify the source and fetch it again") from None


@dataclass(frozen=True)
class Work:
    """Everything that there is to know before the first byte is converted."""

    source: Path
    manifest: dict[str, Any]
    conversion: dict[str, Any]
    """As it stands in the new manifest."""
    config: dict[str, Any]
    index: dict[str, Any] | None
    shards: list[dict[str, Any]]
    """path, sha256 (of the source), size (of the result), head, tensors, partial, record."""
    tensors: list[str]
    """Names of those that stay."""
    total: int
    """Their bytes."""
    dropped: list[str]

    @property
    def identity(self) -> str:
        return hashlib.sha256(json.dumps(self.conversion, sort_keys=True).encode()).hexdigest()


def conversion_of(digest: str) -> dict[str, Any]:
    """How the manifest of the result records it; the same source and this program give the same bytes."""
    return {"kind": KIND, "revision": REVISION, "from": digest}


def look(source: Path, found: Scheme) -> Work:
    """Read the headers of all shards of ``source``, which has a manifest and is READY. Raises ``CannotConvert``."""
    copy = weights_folder.look(source)
    if not copy.ready or copy.manifest is None:
        raise CannotConvert(f"{source} is not ready: {copy.why_not}", "fetch or verify it first")
    config, _unused = read_config(source)
    index = read_json(source / INDEX)
    listed = {one["path"]: one for one in copy.manifest["files"]}
    names = weight_files(listed, index)
    missing = [name for name in names if name not in listed]
    if missing or not names:
        what = (
            f"{', '.join(missing)}: in the index, but not in the manifest"
            if missing
            else "there are no safetensors files"
        )
        raise CannotConvert(f"{source}: {what}", "fetch the whole model")
    if wrong := weights_manifest.wrong_sizes(
        [listed[name] for name in names], {name: _size(source / name) for name in names}
    ):
        raise CannotConvert(
            f"{source}: {'; '.join(map(weights_manifest.describe, wrong))}", "verify the source and fetch it again"
        )
    headers = {name: read_header(source / name, name) for name in names}
    everything = {name: tensor for tensors, _unused in headers.values() for name, tensor in tensors.items()}
    scales, dropped = fp8_checkpoint.plan(everything, found)
    shards, total = [], 0
    for path, (tensors, extra) in headers.items():
        head, entries, size = fp8_checkpoint.layout(tensors, scales, extra)
        total += size - len(head)
        shards.append(
            {
                "path": path,
                "sha256": listed[path]["sha256"],
                "size": size,
                "head": head.decode("latin-1"),
                "tensors": entries,
                "partial": quote(path, safe=""),
                "record": f"{quote(path, safe='')}.json",
            }
        )
    return Work(source, copy.manifest, conversion_of(copy.digest), config, index, shards, list(scales), total, dropped)


def done(work: Work, target: Path) -> dict[str, dict[str, Any]]:
    """The shards that are there already: path → size and sha256, by their records or by a manifest of the same conversion.

    Records of another conversion go: they would vouch for files that this one replaces.
    """
    found: dict[str, dict[str, Any]] = {}
    manifest = weights_folder.look(target).manifest
    if manifest and manifest["conversion"] == work.conversion:
        found = {one["path"]: one for one in manifest["files"]}
    for path in sorted((target / WORK).glob("*.safetensors.json")):
        record = json.loads(path.read_bytes())
        if record["identity"] == work.identity:
            found[record["path"]] = record
        else:
            path.unlink()
    sizes = {shard["path"]: shard["size"] for shard in work.shards}
    return {
        path: {name: one[name] for name in ("path", "size", "sha256")}
        for path, one in found.items()
        if path in sizes and one["size"] == sizes[path] == _size(target / path)
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def share(work: Work, rank: int, ranks: int) -> list[str]:
    return fp8_checkpoint.shares({shard["path"]: shard["size"] for shard in work.shards}, ranks)[rank]


def lacking_space(target: Path, shards: Sequence[Mapping[str, Any]]) -> str:
    """Why the disk of ``target`` is too small for ``shards``; empty when it is not. What was left unfinished is written over."""
    place = target
    while not place.exists():
        place = place.parent
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    free += sum(max(0, _size(target / WORK / shard["partial"])) for shard in shards)
    need = sum(shard["size"] for shard in shards) + SPARE_BYTES
    if need <= free:
        return ""
    return f"{target}: the conversion needs {human.binary(need)}, {human.binary(free)} are free on {place}"


def write_job(work: Work, target: Path, shards: Sequence[Mapping[str, Any]], program: str, **options: Any) -> Path:
    """Everything the worker needs, in its folder; returns the folder."""
    folder = target / WORK
    stay_inside(target, [shard["path"] for shard in shards])
    folder.mkdir(parents=True, exist_ok=True)
    for name in (progress_name(options["rank"]), error_name(options["rank"])):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()
    job = {
        "source": str(work.source),
        "target": str(target),
        "work": str(folder),
        "identity": work.identity,
        "progress": str(folder / progress_name(options["rank"])),
        "shards": list(shards),
        "device": options["device"],
        "threads": options["threads"],
    }
    # replaced, not written to: the worker's user owns the folder, and could have put a link there
    common_files.write(folder / job_name(options["rank"]), json.dumps(job), 0o644)
    common_files.write(folder / program_name(options["rank"]), program, 0o644)
    return folder


def stay_inside(target: Path, paths: Iterable[str]) -> None:
    """Raises ``CannotConvert`` where a link would lead what is written below ``target`` to somewhere else."""
    if outside := weights_folder.outside(target, paths):
        raise CannotConvert(f"links lead out of {target}: {', '.join(outside)}", "remove them, or take another folder")


# several ranks work in one folder where it is shared


def job_name(rank: int) -> str:
    return f"job-{rank}"


def program_name(rank: int) -> str:
    return f"convert-{rank}.py"


def progress_name(rank: int) -> str:
    return f"progress-{rank}"


def error_name(rank: int) -> str:
    return f"errors-{rank}"


def finish(work: Work, target: Path, converted: Mapping[str, Mapping[str, Any]]) -> tuple[str, list[str]]:
    """When all shards are there: index, ``config.json``, the other files, manifest, READY. The digest, and what was left out.

    Nothing is read twice: shards were hashed while they were written, other files are linked and keep the hash they came with.
    """
    listed = {one["path"]: one for one in work.manifest["files"]}
    others, left = fp8_checkpoint.other_files(listed, [shard["path"] for shard in work.shards])
    stay_inside(target, [*converted, *others])
    weights_folder.unready(target)
    files = [dict(one) for one in converted.values()]
    files += [_bring(work.source, target, listed[path]) for path in others]
    written = {fp8_checkpoint.CONFIG: fp8_checkpoint.converted_config(work.config)}
    if work.index is not None:
        written[INDEX] = fp8_checkpoint.converted_index(work.index, work.tensors, work.total)
    for path, content in written.items():
        text = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
        common_files.write(target / path, text, 0o644)
        files.append({"path": path, "size": len(text), "sha256": hashlib.sha256(text).hexdigest()})
    digest = weights_folder.write_manifest(
        target, weights_manifest.build(work.manifest["source"], files, work.conversion)
    )
    weights_folder.mark_ready(target)
    shutil.rmtree(target / WORK, ignore_errors=True)
    return digest, left


def _bring(source: Path, target: Path, one: Mapping[str, Any]) -> dict[str, Any]:
    """A file that stays as it is: linked where that is possible, otherwise copied and compared with its hash."""
    here, there = (source / one["path"]).resolve(), target / one["path"]
    if there.exists() and here.samefile(there):
        return dict(one)
    fresh = target / WORK / quote(one["path"], safe="")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    try:
        os.link(here, fresh)
    except OSError:
        shutil.copyfile(here, fresh)
        found = weights_folder.hash_file(fresh)
        if found != one["sha256"]:
            raise CannotConvert(
                f"{here}: sha256 {found}, its manifest lists {one['sha256']}", "verify the source and fetch it again"
            ) from None
    common_files.place(fresh, there)
    return dict(one)


def unit_name(target: str) -> str:
    """The transient unit that converts to ``target`` on a node."""
    return f"fullrank-convert-{hashlib.sha256(target.encode()).hexdigest()[:12]}.service"


@dataclass(frozen=True)
class Image:
    """Where the worker's interpreter is, when it is not on the node."""

    name: str
    runtime: str
    """Path of docker, podman or nerdctl."""
    args: Sequence[str]
    """Further words for it."""
    gpus: bool

    def words(self, container: str, work: Work, target: Path, worker: Worker) -> list[str]:
        """What comes before the interpreter and its arguments: the worker sees the weights, no network, and is the user, with the
        privileges, that it is without a container."""
        capabilities = worker.privileges.get("capabilities", ())
        return [
            *(self.runtime, "run", "--rm", "--name", container, "--user", f"{worker.uid}:{worker.gid}"),
            *("--network", "none", "--env", "HOME=/tmp", "--memory", str(MEMORY_BYTES)),
            *("--security-opt", "no-new-privileges", "--cap-drop", "ALL"),
            *(word for name in capabilities for word in ("--cap-add", name.removeprefix("CAP_"))),
            *(word for folder in _sources(work) for word in ("--volume", f"{folder}:{folder}:ro")),
            *("--volume", f"{target}:{target}"),
            *(("--device", "nvidia.com/gpu=all") if self.gpus else ()),
            *self.args,
        ]

    def properties(self, container: str) -> list[str]:
        """A container lives in its runtime's daemon, not below the unit. The worker may be killed at any moment."""
        # a message that there is none is no error
        remove = f"-/bin/sh -c '{self.runtime} rm --force {container} >/dev/null 2>&1'"
        return ["KillSignal=SIGKILL", f"ExecStartPre={remove}", f"ExecStopPost={remove}"]


def unit(
    work: Work, target: Path, options: Mapping[str, Any], worker: Worker, image: Image | None = None
) -> transient.Unit:
    """The worker as a unit of its own, which outlives the connection. It sees the weights, and no network.

    options: python, rank, device, timeout (s, after which systemd ends it).
    """
    python, rank = options["python"], options["rank"]
    folder, name = target / WORK, unit_name(str(target))
    container = name.rpartition(".")[0]
    command = [python, str(folder / program_name(rank)), str(folder / job_name(rank))]
    if image:
        command = [*image.words(container, work, target, worker), "--entrypoint", python, image.name, *command[1:]]
    return transient.Unit(
        name=name,
        description=f"fullrank: converting weights to BF16 in {target}",
        command=command,
        environment={"HOME": "/tmp"},
        sandbox=None if image else sandbox(python, _sources(work), target, options["device"], worker),
        properties=[
            "Nice=5",
            "TasksMax=infinity",
            f"StandardError=append:{folder / error_name(rank)}",
            *(image.properties(container) if image else ()),
        ],
        memory=0 if image else MEMORY_BYTES,  # a container has it of itself
        seconds=options["timeout"],
    )


def sandbox(python: str, sources: Sequence[Path], target: Path, device: str, worker: Worker) -> transient.Sandbox:
    """What the worker may do without a container. device: ``cpu`` for a worker that sees no devices."""
    return transient.Sandbox(
        writes=[str(target)],
        reads=[python, str(Path(python).resolve()), *map(str, sources)],
        devices=device != "cpu",
        generates_code=True,
        **worker.privileges,
    )


def source_files(work: Work) -> list[str]:
    """What the worker reads of the source."""
    return [str(work.source / shard["path"]) for shard in work.shards]


def _sources(work: Work) -> list[Path]:
    """The folders that the worker reads: where shards are links, as in a hub's cache, they lie elsewhere."""
    return sorted({work.source, *((work.source / shard["path"]).resolve().parent for shard in work.shards)})


def progress(folder: Path, rank: int) -> dict[str, Any]:
    """phase, bytes, total, files_done, files, error, at, as the worker wrote them; empty before it began."""
    try:
        return dict(json.loads((folder / progress_name(rank)).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def error(folder: Path, rank: int) -> str:
    """Why it failed: by the worker's message, or by the interpreter's; empty when there is neither."""
    if own := str(progress(folder, rank).get("error") or ""):
        return own
    try:
        lines = (folder / error_name(rank)).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1] if lines else ""
