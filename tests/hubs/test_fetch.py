# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that fetches, driven through the real clients of both hubs, two versions each, against stand-ins with faults."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan

from tests.standins.hubs import COMMIT, TOKEN, Faults, Hub

CHECKOUT = Path(__file__).resolve().parents[2]
CLIENTS = CHECKOUT / ".cache/hub-clients"
WORKER = "ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.worker"
LIMIT_S = 240
BIG = random.Random(6).randbytes(12 << 20)
FILES = {
    "config.json": b'{"model_type": "tiny"}\n',
    "extra/notes.txt": b"hello\n",
    "model-00001-of-00002.safetensors": BIG,
    "model-00002-of-00002.safetensors": BIG[::-1][: 5 << 20],
    "tokenizer.json": b"{}" * 100,
}
LARGE = sum(len(content) for content in FILES.values() if len(content) > 10_000)
# what may be on its way, unwritten, when a client is killed: two files, each with the client's chunk and the sockets' buffers
ON_THE_WAY = 2 * (2 << 20)


INTERRUPTIONS = 5


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub(dict(FILES))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(
    params=["huggingface_hub-2.4.0", "huggingface_hub-0.36.2", "modelscope-1.40.2", "modelscope-1.38.1"],
)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Fetcher:
    """One request in a folder of its own, run as the node runs it, without the unit."""

    def __init__(self, work: Path, client: str, hub: Hub) -> None:
        self.python = CLIENTS / client / "bin/python"
        self.model = work / "model"
        self.run_folder = work / "run"
        self.run_folder.mkdir()
        self.token = ""
        self.environment: dict[str, str] = {}
        self.request: dict[str, Any] = {
            "path": str(self.model),
            "hub": "huggingface" if client.startswith("hugging") else "modelscope",
            "repo": "o/m",
            "revision": COMMIT,
            "include": [],
            "exclude": [],
            "endpoint": hub.url,
            "workers": 2,
            "files": [],
        }

    def into(self, model: Path) -> None:
        self.model = model
        self.request["path"] = str(model)

    def start(self) -> subprocess.Popen[str]:
        (self.run_folder / "request.json").write_text(json.dumps(self.request))
        (self.run_folder / "progress.json").unlink(missing_ok=True)
        if self.token:
            (self.run_folder / "token").write_text(self.token)
        (self.run_folder / "environment").write_text(json.dumps(self.environment))
        env = {"PATH": os.environ["PATH"], "HOME": str(self.run_folder), "PYTHONPATH": str(CHECKOUT / "collections")}
        env |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        # a shell that runs the tests in the background has SIGINT ignored, and children inherit that
        return subprocess.Popen(
            ["env", "--default-signal=INT", self.python, "-m", WORKER, self.run_folder],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self) -> dict[str, Any]:
        """Run to the end; its progress file."""
        process = self.start()
        print(process.communicate(timeout=LIMIT_S)[0])
        return dict(json.loads((self.run_folder / "progress.json").read_text()))

    def is_exact(self, files: dict[str, bytes] | None = None) -> bool:
        files = files or FILES
        copy = weights_folder.look(self.model)
        content = {path: (self.model / path).read_bytes() for path in weights_folder.sizes(self.model)}
        assert copy.ready, copy.why_not
        assert copy.manifest
        assert not (self.model / ".fullrank/partial").exists()
        return content == files and weights_folder.verify(self.model, copy.manifest["files"]) == []


@pytest.fixture
def fetch(tmp_path: Path, client: str, hub: Hub) -> Fetcher:
    return Fetcher(tmp_path, client, hub)


def test_all_files_arrive_once_and_are_listed(fetch: Fetcher, hub: Hub) -> None:
    progress = fetch()
    assert (progress["phase"], progress["error"], progress["files_done"]) == ("done", "", len(FILES))
    assert progress["bytes"] == progress["total"] == sum(map(len, FILES.values()))
    assert fetch.is_exact()
    assert hub.sent == LARGE
    copy = weights_folder.look(fetch.model)
    assert copy.manifest and copy.manifest["source"] == {
        "hub": fetch.request["hub"],
        "repo": "o/m",
        "revision": COMMIT,
    }


def test_patterns_choose_files_and_more_of_them_later(fetch: Fetcher, hub: Hub) -> None:
    fetch.request |= {"include": ["*.json", "extra/*"], "exclude": ["tokenizer*"]}
    assert fetch()["phase"] == "done"
    assert fetch.is_exact({name: FILES[name] for name in ("config.json", "extra/notes.txt")})
    assert hub.sent == 0
    fetch.request |= {"include": [], "exclude": []}
    assert fetch()["phase"] == "done"
    assert fetch.is_exact() and hub.sent == LARGE


def test_a_branch_is_refused_and_its_commit_reported(fetch: Fetcher, hub: Hub) -> None:
    fetch.request["revision"] = "main"
    progress = fetch()
    assert progress["phase"] == "failed" and f"now at commit {COMMIT}: write that" in progress["error"]
    assert hub.sent == 0 and not fetch.model.exists()


@pytest.mark.parametrize(
    "faults",
    [Faults(drops=3), Faults(errors=2), Faults(flips=1), Faults(drops=4, errors=2, flips=1)],
    ids=["drops", "5xx", "flipped bit", "all"],
)
def test_faults_of_the_network_end_in_an_exact_copy(fetch: Fetcher, hub: Hub, faults: Faults) -> None:
    hub.faults = replace(faults)
    assert fetch()["phase"] == "done"
    assert fetch.is_exact()
    again = max(map(len, FILES.values())) if faults.flips else 0
    assert hub.sent <= LARGE + again + (faults.drops + faults.errors) * (1 << 20)


def test_a_hub_that_falls_silent_is_asked_again(fetch: Fetcher, hub: Hub) -> None:
    """The clients wait 10 s and 60 s of themselves; here their limits are lower."""
    hub.faults = Faults(hangs=2)
    fetch.environment = {"HF_HUB_DOWNLOAD_TIMEOUT": "3", "MODELSCOPE_DOWNLOAD_TIMEOUT": "3"}
    assert fetch()["phase"] == "done"
    assert fetch.is_exact()
    assert hub.faults.hangs == 0 and hub.sent <= LARGE + 2 * (1 << 20)


def test_a_hub_that_keeps_sending_something_else_is_named(fetch: Fetcher, hub: Hub) -> None:
    hub.faults = Faults(flips=10_000)
    progress = fetch()
    assert progress["phase"] == "failed"
    assert not weights_folder.look(fetch.model).ready
    assert not (fetch.model / "model-00001-of-00002.safetensors").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_what_was_interrupted_goes_on_where_it_was(fetch: Fetcher, hub: Hub, how: signal.Signals) -> None:
    """Five random moments each; nothing but what was on its way is asked for again."""
    hub.faults = Faults(delay_s=0.01)
    moments = random.Random(f"{fetch.request['hub']}{how}")
    for _ in range(INTERRUPTIONS):
        process = fetch.start()
        begun, seen = hub.sent, time.monotonic()
        # one that began again from zero each time would exceed the bound below
        wanted = begun + moments.randrange(5 << 19, 6 << 19)
        while hub.sent < min(wanted, LARGE) and process.poll() is None and time.monotonic() - seen < LIMIT_S:
            time.sleep(0.005)
        process.send_signal(how)
        process.communicate(timeout=LIMIT_S)
    hub.faults = Faults()
    assert not weights_folder.look(fetch.model).ready
    assert fetch()["phase"] == "done"
    assert fetch.is_exact()
    assert hub.sent <= LARGE + INTERRUPTIONS * ON_THE_WAY


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4711] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip, lambda file: os.truncate(file, 4711), Path.unlink], ids=["flipped", "cut", "gone"]
)
def test_a_damaged_file_in_place_is_fetched_again_and_only_that(
    fetch: Fetcher, hub: Hub, damage: Callable[[Path], None]
) -> None:
    fetch()
    victim = fetch.model / "model-00002-of-00002.safetensors"
    damage(victim)
    hub.sent = 0
    assert fetch()["phase"] == "done"
    assert fetch.is_exact() and hub.sent == victim.stat().st_size


def test_a_bit_that_flips_in_an_unfinished_part_costs_that_file_once_more(fetch: Fetcher, hub: Hub) -> None:
    hub.faults = Faults(delay_s=0.01)
    process = fetch.start()
    while hub.sent < 6 << 20 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate(timeout=LIMIT_S)
    hub.faults = Faults()
    parts = [one for one in (fetch.model / ".fullrank/partial").rglob("*00001-of*") if one.stat().st_size > 4711]
    assert parts
    for part in parts:
        flip(part)
    assert fetch()["phase"] == "done"
    assert fetch.is_exact()
    assert hub.sent <= LARGE + len(BIG) + ON_THE_WAY


def test_a_proxy_is_the_way_out_where_the_task_has_one(fetch: Fetcher, hub: Hub) -> None:
    """The hub's name leads nowhere; the stand-in, asked as a proxy, answers for it."""
    fetch.request["endpoint"] = "http://hub.invalid"
    fetch.environment = {"http_proxy": hub.url}
    assert fetch()["phase"] == "done" and fetch.is_exact()
    assert not (fetch.run_folder / "environment").exists()
    assert all(one["path"].startswith("http://hub.invalid/") for one in hub.log)


def test_a_private_model_needs_the_token_which_is_left_nowhere(fetch: Fetcher, hub: Hub) -> None:
    hub.faults = Faults(private=True)
    progress = fetch()
    assert progress["phase"] == "failed" and "401" in progress["error"]
    fetch.token = TOKEN
    assert fetch()["phase"] == "done" and fetch.is_exact()
    assert not (fetch.run_folder / "token").exists()
    for file in fetch.model.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()
    assert TOKEN not in (fetch.run_folder / "progress.json").read_text()


def test_too_little_space_is_reported_before_anything_is_fetched(fetch: Fetcher, hub: Hub, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(30 << 20))
    fetch.into(small_disk / "model")
    progress = fetch()
    assert progress["phase"] == "failed" and "free, and" in progress["error"]
    assert hub.sent == 0


def test_a_disk_that_fills_up_meanwhile_is_named_and_what_arrived_is_kept(
    fetch: Fetcher, hub: Hub, small_disk: Path
) -> None:
    hub.faults = Faults(delay_s=0.02)
    fetch.into(small_disk / "model")
    process = fetch.start()
    while hub.sent < 2 << 20 and process.poll() is None:
        time.sleep(0.01)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(1 << 20)):
            pass
    print(process.communicate(timeout=LIMIT_S)[0])
    progress = json.loads((fetch.run_folder / "progress.json").read_text())
    assert progress["phase"] == "failed" and "disk is full" in progress["error"]
    assert not weights_folder.look(fetch.model).ready
    (small_disk / "filler").unlink()
    hub.faults = Faults()
    arrived = sum(
        file.stat().st_size for file in fetch.model.rglob("*") if file.is_file() and file.stat().st_size > 10_000
    )
    assert arrived >= 1 << 20
    hub.sent = 0
    assert fetch()["phase"] == "done" and fetch.is_exact()
    assert hub.sent <= LARGE - arrived


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """An empty file system of 90 MiB, given by whoever runs the tests (``tests/hubs/small-disk`` mounts one for their time)."""
    folder = os.environ.get("FULLRANK_SMALL_DISK")
    if not folder:
        pytest.skip("FULLRANK_SMALL_DISK is not set; make test-hubs sets it")
    yield Path(folder)
    for one in Path(folder).iterdir():
        shutil.rmtree(one) if one.is_dir() else one.unlink()


@pytest.mark.parametrize("fetched_to", ["elsewhere", "in place"])
def test_a_folder_of_links_is_taken_as_what_they_lead_to(tmp_path: Path, hub: Hub, fetched_to: str) -> None:
    snapshot = tmp_path / "models--o--m/snapshots/1"
    blobs = tmp_path / "models--o--m/blobs"
    for folder in (snapshot / "extra", blobs):
        folder.mkdir(parents=True)
    for number, (name, content) in enumerate(FILES.items()):
        (blobs / str(number)).write_bytes(content)
        (snapshot / name).symlink_to(blobs / str(number))
    fetch = Fetcher(tmp_path, "modelscope-1.40.2", hub)
    fetch.request |= {"hub": "path", "repo": str(snapshot), "revision": ""}
    if fetched_to == "in place":
        fetch.into(snapshot)
    assert fetch()["phase"] == "done"
    assert fetch.is_exact()
    assert (fetch.model / "config.json").is_symlink() == (fetched_to == "in place")
    assert hub.log == []


def test_git_lfs_as_the_last_resort(tmp_path: Path, hub: Hub) -> None:
    """From a repository of the local disk: git-lfs transfers from one by itself, without a server."""
    repository, home = tmp_path / "repository", tmp_path / "home"
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(repository), *words], env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    repository.mkdir()
    git("init", "--quiet")
    git("lfs", "install", "--local")
    git("lfs", "track", "*.safetensors")
    for name, content in FILES.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_bytes(content)
    git("add", ".")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "weights")
    fetch = Fetcher(tmp_path, "modelscope-1.40.2", hub)
    fetch.request |= {"hub": "git-lfs", "repo": f"file://{repository}", "revision": git("rev-parse", "HEAD")}
    assert fetch()["phase"] == "done"
    assert fetch.is_exact(FILES | {".gitattributes": (repository / ".gitattributes").read_bytes()})


def test_a_request_is_known_by_what_decides_the_bytes() -> None:
    request = {"hub": "path", "repo": "/x", "revision": "", "include": [], "exclude": [], "workers": 2}
    assert plan.deciding(request) == plan.deciding(request | {"workers": 9})
