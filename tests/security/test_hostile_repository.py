# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A git repository with LFS attacks the node that fetches it: the real worker, the real git and git-lfs, a server on loopback.

The worker runs as a process here, without the unit that would contain it: what is tested is its own check. The scenario
``model`` attacks from inside the unit.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.standins.forge import Forge, Storage, pointer

CHECKOUT = Path(__file__).resolve().parents[2]
WORKER = "ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.worker"
LIMIT_S = 20
TOKEN = "token-of-the-hub"
WEIGHTS = b"weights" * 1000


class Attack:
    """A forge, its storage on another address, and a node that fetches from them."""

    def __init__(self, folder: Path, forge: Forge, storage: Storage) -> None:
        self.folder, self.forge, self.storage = folder, forge, storage
        self.model, self.run = folder / "model", folder / "run"
        self.run.mkdir()
        self.victim = folder / "outside" / "shadow"
        self.victim.parent.mkdir()
        self.victim.write_text("root:secret")

    def fetch(
        self, commit: str, token: str = "", exclude: Sequence[str] = (), limit_s: int = LIMIT_S
    ) -> dict[str, Any]:
        """The end of a fetch, or how far it is after so many seconds: its progress file."""
        request = {"path": str(self.model), "hub": "git-lfs", "repo": self.forge.repository, "revision": commit}
        request |= {"include": [], "exclude": [*exclude], "endpoint": "", "workers": 2, "files": []}
        (self.run / "request.json").write_text(json.dumps(request))
        (self.run / "token").write_text(token)
        env = {"PATH": os.environ["PATH"], "HOME": str(self.run), "PYTHONPATH": str(CHECKOUT / "collections")}
        env |= {"GIT_TERMINAL_PROMPT": "0", "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_NOSYSTEM": "1"}
        command = [sys.executable, "-m", WORKER, str(self.run)]
        with contextlib.suppress(subprocess.TimeoutExpired):  # it tries again, for longer than a test lasts
            subprocess.run(command, env=env, check=False, timeout=limit_s)
        return dict(json.loads((self.run / "progress.json").read_text()))


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    with ExitStack() as running:
        storage = Storage("127.0.0.2")
        forge = Forge(tmp_path, storage)
        running.enter_context(storage.serving())
        running.enter_context(forge.serving())
        yield Attack(tmp_path, forge, storage)


def up(attack: Attack) -> str:
    """The victim's path from where git-lfs keeps objects: as many steps up as there are."""
    return "../" * 40 + str(attack.victim).lstrip("/")


@pytest.mark.parametrize("absolute", [True, False])
def test_an_oid_that_is_a_path_deletes_nothing(attack: Attack, absolute: bool) -> None:
    oid = str(attack.victim) if absolute else up(attack)
    commit = attack.forge.commit({"model.safetensors": pointer(oid, 11), "config.json": "{}"})
    found = attack.fetch(commit)
    assert attack.victim.read_text() == "root:secret"
    assert found["phase"] == "failed"
    assert "model.safetensors" in found["error"]


@pytest.mark.parametrize(
    "text",
    [
        pointer("a" * 63, 11),
        pointer("A" * 64, 11),
        pointer("", 11),
        pointer("a" * 64, 11).replace("sha256", "md5"),
        pointer("a" * 64, 11).replace("size 11", "size -1"),
        pointer("a" * 64, 11).replace("size 11", "size " + "9" * 40),
        pointer("a" * 64, 11).replace("oid", "OID"),
    ],
)
def test_what_is_no_pointer_though_it_begins_as_one_is_refused(attack: Attack, text: str) -> None:
    found = attack.fetch(attack.forge.commit({"model.safetensors": text}))
    assert found["phase"] == "failed" and "model.safetensors" in found["error"]
    assert not attack.storage.seen


@pytest.mark.parametrize("path", ["../outside/shadow", "a/../../outside/shadow", ".git/../../outside/shadow"])
def test_a_path_of_the_repository_stays_in_the_folder(attack: Attack, path: str) -> None:
    found = attack.fetch(attack.forge.commit({path: "hostile", "config.json": "{}"}))
    assert attack.victim.read_text() == "root:secret"
    assert found["phase"] == "failed"


def test_a_link_in_the_folder_is_not_followed_out_of_it(attack: Attack) -> None:
    attack.model.mkdir()
    (attack.model / "sub").symlink_to(attack.victim.parent)
    found = attack.fetch(attack.forge.commit({"sub/shadow": "hostile"}))
    assert attack.victim.read_text() == "root:secret"
    assert found["phase"] == "failed" and "links lead out" in found["error"]


def test_the_token_goes_to_the_forge_and_not_to_the_storage_that_it_names(attack: Attack) -> None:
    oid = attack.storage.put(WEIGHTS)
    commit = attack.forge.commit({"model.safetensors": pointer(oid, len(WEIGHTS)), "config.json": "{}"})
    assert attack.fetch(commit, TOKEN)["error"] == ""
    assert (attack.model / "model.safetensors").read_bytes() == WEIGHTS
    paths = " ".join(attack.forge.received(TOKEN))
    assert "git-upload-pack" in paths and "objects/batch" in paths
    assert [one["path"] for one in attack.storage.seen] == [f"/{oid}"]
    assert attack.storage.received(TOKEN) == []
    # the header that the forge itself chose for the storage does go there
    assert attack.storage.values("x-signed") == ["by-the-forge"]


def test_git_does_not_carry_the_token_to_where_the_forge_sends_it(attack: Attack) -> None:
    attack.forge.redirect_to = attack.storage.url
    found = attack.fetch("1" * 40, TOKEN)
    assert found["phase"] == "failed" and "which is not followed" in found["error"]
    assert attack.forge.received(TOKEN)
    assert attack.storage.seen == []


def test_the_batch_does_not_carry_the_token_to_where_the_forge_sends_it(attack: Attack) -> None:
    oid = attack.storage.put(WEIGHTS)
    attack.forge.redirect_batch_to = attack.storage.url
    attack.fetch(attack.forge.commit({"model.safetensors": pointer(oid, len(WEIGHTS))}), TOKEN)
    assert (attack.model / "model.safetensors").read_bytes() == WEIGHTS
    assert [one for one in attack.forge.received(TOKEN) if one.endswith("objects/batch")]
    assert [one["method"] for one in attack.storage.seen] == ["POST", "GET"]
    assert attack.storage.received(TOKEN) == []


def test_a_repository_does_not_name_another_lfs_server_for_the_token(attack: Attack) -> None:
    oid = attack.storage.put(WEIGHTS)
    files = {"model.safetensors": pointer(oid, len(WEIGHTS)), ".lfsconfig": f"[lfs]\n\turl = {attack.storage.url}/x\n"}
    assert attack.fetch(attack.forge.commit(files), TOKEN)["error"] == ""
    assert attack.storage.received(TOKEN) == []


ODD_NAMES = [
    "a,b.bin",
    "a?b.bin",
    "[x].bin",
    "*.bin",
    " blank .bin",
    "!not.bin",
    "#no.bin",
    "-o.bin",
    "ü,/{y}.bin",
    "back\\slash.bin",
]


def test_names_that_are_patterns_elsewhere_are_names(attack: Attack) -> None:
    """git-lfs takes paths as patterns between commas: none of these is given to it."""
    contents = {name: f"weights of {name}".encode() for name in ODD_NAMES}
    files = {name: pointer(attack.storage.put(content), len(content)) for name, content in contents.items()}
    other = attack.storage.put(b"not wanted")
    found = attack.fetch(
        attack.forge.commit({**files, "other.pth": pointer(other, 10)}), exclude=["*.pth"], limit_s=300
    )
    assert (found["phase"], found["error"]) == ("done", "")
    assert {name: (attack.model / name).read_bytes() for name in ODD_NAMES} == contents
    assert f"/{other}" not in [one["path"] for one in attack.storage.seen]


def test_a_list_that_is_longer_than_a_command_line_arrives(attack: Attack) -> None:
    """An argument has at most 128 KiB (execve(2), MAX_ARG_STRLEN). Two of the files are the same."""
    folder = "/".join(letter * 250 for letter in "abcdef")
    contents = {f"{folder}/{number}.bin": f"{number // 2}".encode() for number in range(90)}
    assert sum(map(len, contents)) > 128 << 10
    files = {name: pointer(attack.storage.put(content), len(content)) for name, content in contents.items()}
    found = attack.fetch(attack.forge.commit(files), limit_s=300)
    assert (found["phase"], found["error"]) == ("done", "")
    assert {name: (attack.model / name).read_bytes() for name in contents} == contents


def test_a_storage_that_sends_without_an_end_fills_no_disk(attack: Attack) -> None:
    attack.storage.endless = 50
    oid = attack.storage.put(WEIGHTS)
    found = attack.fetch(attack.forge.commit({"model.safetensors": pointer(oid, len(WEIGHTS))}), limit_s=300)
    assert found["phase"] == "failed" and f"sends more than the {len(WEIGHTS)} bytes" in found["error"], found
    there = [path.stat().st_size for path in attack.model.rglob("*") if path.is_file()]
    assert max(there) <= 1 << 20
