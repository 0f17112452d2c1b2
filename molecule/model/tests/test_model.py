# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node fetches by the real client; a second run sends no request; damage is found; only what is unused is removed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import NET
from testinfra.host import Host

HERE = Path(__file__).resolve().parents[1]
PLAYBOOK = "molecule/model/converge.yml"
HUB = f"http://{NET}.1:8099"
PATH = "/data/models/m-1111111"
SHARD = f"{PATH}/model-00002-of-00002.safetensors"
CHECKOUT = HERE.parents[1]
SERVED = CHECKOUT / ".cache/hub-clients/model"


def requests() -> list[dict[str, Any]]:
    """What the hubs and the index were requested to send so far."""
    with urllib.request.urlopen(f"{HUB}/_log", timeout=10) as answer:
        return list(json.load(answer)["log"])


def sent() -> int:
    """Bytes of large files that left the hubs so far."""
    with urllib.request.urlopen(f"{HUB}/_log", timeout=10) as answer:
        return int(json.load(answer)["sent"])


def faults(**wanted: Any) -> None:
    request = urllib.request.Request(f"{HUB}/_faults", json.dumps(wanted).encode(), method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def sha256(node: Host, path: str) -> str:
    return str(node.check_output("sha256sum %s", path).split()[0])


def test_the_copy_is_exact_and_ready(node: Host) -> None:
    manifest = node.file(f"{PATH}/.fullrank/manifest.json").content
    assert node.file(f"{PATH}/.fullrank/READY").content_string.strip() == hashlib.sha256(manifest).hexdigest()
    listed = json.loads(manifest)
    assert listed["source"] == {"hub": "modelscope", "repo": "o/m", "revision": "1" * 40}
    assert {one["path"]: one["sha256"] for one in listed["files"]} == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in SERVED.iterdir()
    }
    for one in listed["files"]:
        assert sha256(node, f"{PATH}/{one['path']}") == one["sha256"]


def test_nothing_is_left_beside_it(node: Host) -> None:
    assert node.check_output("ls %s/.fullrank", PATH).split() == ["READY", "manifest.json", "request.json"]
    assert node.run("ls /run/fullrank").stdout.strip() == ""
    assert node.check_output("systemctl list-units --all --plain --no-legend 'fullrank-*'") == ""


def test_a_second_run_changes_nothing_and_sends_no_request(play: Callable[..., Any]) -> None:
    before = len(requests())
    for arguments in ((), ("--check", "--diff")):
        run = play(PLAYBOOK, *arguments)
        assert (run.rc, run.changed) == (0, 0)
    assert len(requests()) == before


def test_check_mode_of_a_first_run_reports_changes_and_leaves_the_node_alone(
    play: Callable[..., Any], node: Host
) -> None:
    run = play(PLAYBOOK, "--check", "--diff", model_path="/data/models/other")
    assert run.rc == 0 and run.changed > 0
    assert not node.file("/data/models/other").exists


def test_a_flipped_bit_is_found_named_and_repaired(play: Callable[..., Any], node: Host) -> None:
    good = sha256(node, SHARD)
    flip = f"f=open('{SHARD}','r+b'); f.seek(4711); b=f.read(1); f.seek(4711); f.write(bytes([b[0]^1]))"
    node.check_output('python3 -c "%s"' % flip)  # noqa: UP031 - testinfra quotes its arguments, this one is quoted
    run = play(PLAYBOOK, "--check", entry_point="verify", model_verify_depth="contents")
    assert node.file(f"{PATH}/.fullrank/READY").exists
    assert f"{Path(SHARD).name}: its content changed" in run.text or run.changed == 1
    run = play(PLAYBOOK, entry_point="verify", model_verify_depth="contents")
    assert run.rc != 0 and f"{Path(SHARD).name}: its content changed" in run.text
    assert "00001-of-00002" not in run.text
    assert not node.file(f"{PATH}/.fullrank/READY").exists
    before = len(requests())
    assert play(PLAYBOOK).rc == 0
    assert sha256(node, SHARD) == good
    fetched = [one["path"] for one in requests()[before:] if one["method"] == "GET" and "FilePath" in one["path"]]
    assert fetched and all("00002-of-00002" in one for one in fetched)


def test_the_other_hub_with_faults_and_progress(play: Callable[..., Any], node: Host) -> None:
    faults(drops=2, errors=1, flips=1, delay_s=0.02)
    try:
        run = play(PLAYBOOK, model_hub="huggingface", model_path="/data/models/m-hf")
    finally:
        faults()
    assert run.rc == 0
    assert "of 40.0 MB" in run.text and "left" in run.text
    for file in SERVED.iterdir():
        assert sha256(node, f"/data/models/m-hf/{file.name}") == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_fetch_outlives_its_controller_and_the_next_run_watches_it(
    play: Callable[..., Any], inventory: Path, node: Host
) -> None:
    path, before = "/data/models/m-left", sent()
    running = "systemctl is-active 'fullrank-fetch-m-left-*'"
    faults(delay_s=0.05)
    try:
        controller = subprocess.Popen(
            ["ansible-playbook", "-i", str(inventory), PLAYBOOK, "-e", f"model_path={path}"],
            cwd=CHECKOUT,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
            start_new_session=True,
        )
        for _ in range(120):
            if node.run(running).stdout.strip() == "active":
                break
            time.sleep(1)
        os.killpg(controller.pid, signal.SIGKILL)
        controller.wait()
        assert node.run(running).stdout.strip() == "active"
        run = play(PLAYBOOK, model_path=path)
    finally:
        faults()
    assert run.rc == 0
    assert sent() - before == sum(file.stat().st_size for file in SERVED.glob("*.safetensors"))


def test_a_branch_is_refused_with_its_commit(play: Callable[..., Any], node: Host) -> None:
    run = play(PLAYBOOK, model_revision="master", model_path="/data/models/m-branch")
    assert run.rc != 0 and "is a branch or a tag, which can move; it is now at commit " + "1" * 40 in run.text
    assert not node.file("/data/models/m-branch").exists


def test_what_cannot_be_fetched_is_refused_at_once(play: Callable[..., Any], node: Host) -> None:
    before = len(requests())
    run = play(PLAYBOOK, model_repo="just-a-name", model_path="relative", model_venv="/opt/unneeded")
    assert run.rc != 0
    assert "model_repo just-a-name is no name of a model" in run.text and "model_path relative" in run.text
    run = play(PLAYBOOK, model_repo="", model_path="/data/models/m-nothing", model_venv="/opt/unneeded")
    assert run.rc != 0 and "model_repo is empty" in run.text
    assert len(requests()) == before
    assert not node.file("/opt/unneeded").exists


def test_another_revision_needs_a_folder_of_its_own(play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, model_revision="2" * 40)
    assert run.rc != 0 and "a folder of its own" in run.text


def test_the_token_is_nowhere(play: Callable[..., Any], node: Host) -> None:
    faults(private=True)
    try:
        run = play(
            PLAYBOOK, "-vvv", model_hub="huggingface", model_token="stand-in-token", model_path="/data/models/m-private"
        )
    finally:
        faults()
    assert run.rc == 0 and "stand-in-token" not in run.text
    assert "stand-in-token" not in node.check_output("journalctl --no-pager")
    assert node.run("grep -rlF stand-in-token /data /run/fullrank /root /etc /var/log").stdout == ""


def test_from_a_folder_of_the_controller(play: Callable[..., Any], node: Host) -> None:
    run = play(
        PLAYBOOK, model_hub="controller", model_repo=str(SERVED), model_revision="", model_path="/data/models/m-sent"
    )
    assert run.rc == 0
    for file in SERVED.iterdir():
        assert sha256(node, f"/data/models/m-sent/{file.name}") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (
        play(
            PLAYBOOK,
            model_hub="controller",
            model_repo=str(SERVED),
            model_revision="",
            model_path="/data/models/m-sent",
        ).changed
        == 0
    )


@pytest.fixture
def repository() -> Iterator[tuple[str, str]]:
    """A git repository with the weights in git-lfs, where the node sees it, and its commit."""
    folder = CHECKOUT / f".cache/models/git-{os.environ.get('GROUND_NAME', 'fr')}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("lfs", "install", "--local")
    git("lfs", "track", "*.safetensors")
    for file in SERVED.iterdir():
        shutil.copy(file, folder)
    git("add", ".")
    git("commit", "--quiet", "-m", "weights")
    yield f"file:///srv/models/{folder.name}", git("rev-parse", "HEAD")
    shutil.rmtree(folder)


def test_git_lfs_where_there_is_no_hub(play: Callable[..., Any], node: Host, repository: tuple[str, str]) -> None:
    repo, commit = repository
    options = {"model_hub": "git-lfs", "model_repo": repo, "model_path": "/data/models/m-git"}
    run = play(PLAYBOOK, **options, model_revision="main")
    assert run.rc != 0 and not node.file("/data/models/m-git").exists
    assert play(PLAYBOOK, **options, model_revision=commit).rc == 0
    for file in SERVED.iterdir():
        assert sha256(node, f"/data/models/m-git/{file.name}") == hashlib.sha256(file.read_bytes()).hexdigest()
    run = play(PLAYBOOK, **options, model_revision=commit)
    assert (run.rc, run.changed) == (0, 0)


def test_retention_leaves_what_is_kept_and_what_is_used(play: Callable[..., Any], node: Host) -> None:
    unit = "/etc/systemd/system/fullrank-rank@someone.service"
    node.check_output("printf '[Service]\\nExecStart=/bin/true --model /data/models/m-hf\\n' > %s", unit)
    run = play(PLAYBOOK, entry_point="retention", model_retention_below="/data/models")
    assert run.rc == 0
    left = node.check_output("ls /data/models").split()
    assert "m-1111111" in left and "m-hf" in left and "m-private" not in left and "m-left" not in left
    assert "m-sent" in left  # another source
    run = play(PLAYBOOK, entry_point="remove", model_path="/data/models/m-hf")
    assert run.rc != 0 and "is in use by fullrank-rank@someone.service" in run.text
    node.check_output("rm %s", unit)
    assert play(PLAYBOOK, entry_point="remove", model_path="/data/models/m-hf").changed == 1
    assert play(PLAYBOOK, entry_point="remove", model_path="/data/models/m-hf").changed == 0
