# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works on a model's folder, and what becomes of the files of earlier versions; as root, on real folders."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest, worker_user
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import UID, NotOurs, Worker

REAL = worker_user.account, worker_user.has_name
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
OWNER = 61001


@pytest.fixture(autouse=True)
def no_account_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_user, "account", lambda: Worker(UID, UID))
    monkeypatch.setattr(worker_user, "has_name", lambda _uid: True)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody reaches, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="fullrank-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def model(place: Path) -> Path:
    """What an earlier version left as root: a finished file, a part of another, and its folders."""
    root = place / "m"
    (root / ".fullrank/partial/huggingface-1").mkdir(parents=True)
    (root / ".fullrank/partial/huggingface-1/b.safetensors").write_text("half")
    (root / "original").mkdir()
    for path in ("a.safetensors", "original/c.safetensors"):
        (root / path).write_text("whole")
    lines = [json.dumps([path, 5, 1, "0" * 64]) for path in ("a.safetensors", "original/c.safetensors")]
    (root / ".fullrank/partial/verified.jsonl").write_text("\n".join([*lines, '["cut']))
    return root


def owners(root: Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): path.lstat().st_uid for path in [root, *root.rglob("*")]}


@root_only
def test_what_root_left_belongs_to_the_worker_who_goes_on_with_it(model: Path) -> None:
    found = worker_user.hand_over(model, ["/bin/sh"])
    assert found == Worker(UID, UID)
    assert set(owners(model).values()) == {UID}
    assert found.privileges == {"user": (UID, UID)}


@root_only
def test_a_ready_copy_of_root_belongs_to_the_worker_by_its_manifest(model: Path) -> None:
    shutil.rmtree(model / ".fullrank/partial")
    files = [{"path": path, "size": 5, "sha256": "0" * 64} for path in ("a.safetensors", "original/c.safetensors")]
    source = {"hub": "huggingface", "repo": "a/b", "revision": "1" * 40}
    (model / ".fullrank/manifest.json").write_bytes(manifest.render(manifest.build(source, files)))
    assert worker_user.hand_over(model, []) == Worker(UID, UID)
    assert set(owners(model).values()) == {UID}


@root_only
def test_what_others_have_in_a_folder_of_ours_stays_theirs(model: Path) -> None:
    program = model / "vendor/helper"
    program.parent.mkdir()
    program.touch()
    program.chmod(0o4755)
    (model / "secret.conf").touch(mode=0o600)
    os.mkfifo(model / ".fullrank/pipe")
    worker_user.hand_over(model, [])
    found = owners(model)
    assert [found[name] for name in ("vendor", "vendor/helper", "secret.conf", ".fullrank/pipe", ".")] == [
        0,
        0,
        0,
        0,
        UID,
    ]
    assert program.stat().st_mode & 0o7777 == 0o4755


@root_only
def test_a_folder_of_others_is_refused_and_nothing_is_changed(place: Path) -> None:
    root = place / "opt"
    (root / "vendor").mkdir(parents=True)
    (root / "vendor/helper").touch(mode=0o4755)
    with pytest.raises(NotOurs, match=r"holds vendor and has no \.fullrank.*make .*/opt/\.fullrank"):
        worker_user.hand_over(root, [])
    assert owners(root) == {".": 0, "vendor": 0, "vendor/helper": 0}


@root_only
@pytest.mark.parametrize("name", ["", "lost+found"])
def test_a_new_folder_belongs_to_the_worker_and_the_file_systems_own_to_root(place: Path, name: str) -> None:
    root = place / "new"
    (root / name).mkdir(parents=True, mode=0o700)
    assert worker_user.hand_over(root, []) == Worker(UID, UID)
    assert owners(root) == {".": UID, **({name: 0} if name else {})}


@root_only
def test_files_that_were_brought_by_hand_and_are_all_listed_belong_to_the_model(place: Path) -> None:
    root = place / "copied"
    (root / "original").mkdir(parents=True)
    (root / ".cache").mkdir()
    for path in ("a.safetensors", "original/c.safetensors"):
        (root / path).touch()
    listed = {"a.safetensors", "original/c.safetensors", "b.safetensors"}
    with pytest.raises(NotOurs, match=r"holds original/c\.safetensors"):
        worker_user.hand_over(root, [], listed - {"original/c.safetensors"})
    assert set(owners(root).values()) == {0}
    worker_user.hand_over(root, [], listed)
    handed = {".": UID, "original": UID, "a.safetensors": UID, "original/c.safetensors": UID}
    assert owners(root) == {**handed, ".cache": 0}


@root_only
def test_the_files_of_a_folder_that_is_taken_as_it_is_stay_theirs(place: Path) -> None:
    root = place / "hand"
    (root / ".fullrank").mkdir(parents=True)
    (root / "a.safetensors").touch()
    assert worker_user.hand_over(root / ".fullrank", []) == Worker(UID, UID)
    assert owners(root) == {".": 0, "a.safetensors": 0, ".fullrank": UID}


@root_only
def test_a_mark_that_is_a_link_is_none(place: Path) -> None:
    root = place / "m"
    (root / "files").mkdir(parents=True)
    (root / ".fullrank").symlink_to(root / "files")
    for folder in (root, root / ".fullrank"):
        with pytest.raises(NotOurs, match="is a link"):
            worker_user.hand_over(folder, [])
    assert set(owners(root).values()) == {0}


@root_only
def test_a_link_to_a_disk_is_followed_and_one_to_the_system_is_refused(place: Path) -> None:
    (place / "disk").mkdir()
    (place / "m").symlink_to(place / "disk")
    assert worker_user.hand_over(place / "m", []) == Worker(UID, UID)
    assert owners(place / "disk") == {".": UID}
    (place / "n").symlink_to("/etc")
    with pytest.raises(NotOurs, match="which is /etc, is a folder of the system"):
        worker_user.hand_over(place / "n", [])


@root_only
def test_what_is_mounted_inside_stays_as_it_is(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number of device, as a mount has, stands in for one: a mount needs rights that a container may lack."""
    mounted = model / ".fullrank/mounted"
    mounted.mkdir()
    (mounted / "file").touch()
    real, there = os.fstat, mounted.stat().st_ino

    def fstat(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        return found if found.st_ino != there else os.stat_result([*found[:2], found.st_dev + 1, *found[3:10]])

    with monkeypatch.context() as patch:
        patch.setattr(worker_user.os, "fstat", fstat)
        worker_user.hand_over(model, [])
    assert [owners(model)[f".fullrank/mounted{end}"] for end in ("", "/file")] == [0, 0]


@root_only
def test_the_owner_of_the_folder_works_on_it(model: Path) -> None:
    os.chown(model, OWNER, OWNER)
    assert worker_user.hand_over(model, []) == Worker(OWNER, OWNER)
    assert set(owners(model).values()) == {OWNER}


@root_only
def test_a_link_is_not_followed_and_files_of_two_folders_keep_their_owner(model: Path, place: Path) -> None:
    outside = place / "outside"
    outside.mkdir()
    (outside / "secret").write_text("root's")
    (model / "link").symlink_to(outside)
    (model / "file").symlink_to(outside / "secret")
    os.link(outside / "secret", model / "second-name")
    assert worker_user.hand_over(model, []).uid == UID
    assert set(owners(outside).values()) == {0}
    assert owners(model)["second-name"] == 0


@root_only
def test_root_works_where_no_other_user_reaches_the_folder(model: Path, place: Path) -> None:
    place.chmod(0o700)
    found = worker_user.hand_over(model, [])
    assert found.uid == 0 and str(place) in found.why_root
    assert set(owners(model).values()) == {0}
    assert found.privileges == {"capabilities": transient.FILES_OF_OTHERS}


@root_only
def test_root_works_where_the_source_is_for_root_alone(model: Path, place: Path) -> None:
    secret = place / "source"
    secret.touch(mode=0o600)
    assert str(secret) in worker_user.hand_over(model, [str(secret)]).why_root
    assert str(secret) in worker_user.hand_over(None, [str(secret)]).why_root
    secret.chmod(0o644)
    assert worker_user.hand_over(None, [str(secret)]) == Worker(UID, UID)


@root_only
def test_root_works_where_a_folder_inside_belongs_to_a_third(model: Path) -> None:
    os.chown(model / ".fullrank", OWNER, OWNER)
    assert worker_user.hand_over(model, []).why_root == f"user {UID} cannot write to {model / '.fullrank'}"


@root_only
def test_a_file_system_without_owners_is_no_obstacle(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_unused: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    assert "cannot be given" in worker_user.hand_over(model, []).why_root


@root_only
def test_a_folder_made_for_the_worker_is_its_own(place: Path) -> None:
    (place / "lib").mkdir()
    (place / "lib/program.py").touch(mode=0o600)
    Worker(UID, UID).own(place)
    assert set(owners(place).values()) == {UID}


def test_root_owns_what_it_makes_anyway(place: Path) -> None:
    before = owners(place)
    Worker(0, 0, "why").own(place)
    assert owners(place) == before


@root_only
def test_an_owner_without_an_account_here_cannot_work(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_user, "has_name", REAL[1])
    os.chown(model, 60999, 60999)
    assert "user 60999, who has no account here" in worker_user.hand_over(model, []).why_root


class Accounts:
    """``systemd-sysusers`` and the accounts of a node."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.makes = True
        self.known: dict[str, int] = {}
        monkeypatch.setattr(worker_user.pwd, "getpwnam", self.named)
        monkeypatch.setattr(worker_user.subprocess, "run", self.run)

    def named(self, name: str) -> pwd.struct_passwd:
        uid = self.known[name]
        return pwd.struct_passwd((name, "x", uid, uid, "", "/", "/usr/sbin/nologin"))

    def run(self, words: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        self.calls.append(words)
        if self.makes:
            self.known[worker_user.NAME] = UID
        return subprocess.CompletedProcess(words, 0 if self.makes else 1, "", "" if self.makes else "read-only\n")


def test_the_account_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts(monkeypatch)
    assert REAL[0]() == REAL[0]() == Worker(UID, UID)
    assert accounts.calls == [["systemd-sysusers", "--inline", f'u {worker_user.NAME} {UID} "weights of fullrank"']]


def test_where_no_account_can_be_made_root_works(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts(monkeypatch)
    accounts.makes = False
    assert "cannot be made: read-only" in REAL[0]().why_root
