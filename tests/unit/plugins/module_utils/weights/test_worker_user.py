# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works on a model's folder, and what becomes of the files of earlier versions; as root, on real folders."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import worker_user
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import UID, Worker

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
    (root / "a.safetensors").write_text("whole")
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
