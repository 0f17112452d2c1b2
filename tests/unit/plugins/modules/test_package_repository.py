# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module package_repository: a key is trusted by its fingerprint only, and no second source of the repository stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import package_repository
from module_runner import call, only_programs, program

from tests.standins.apt_repository import SigningKey

URL = "https://mirror.example.com/docker"


class Node:
    def __init__(self, apt: Path, key: SigningKey, key_file: Path) -> None:
        self.apt, self.fingerprint, self.key_file = apt, key.fingerprint(), key_file
        self.source, self.key = apt / "sources.list.d/docker.sources", apt / "keyrings/docker.asc"

    def wish(self, **args: Any) -> dict[str, Any]:
        wish = {"url": URL, "suite": "trixie", "components": ["stable"], "key_url": f"file://{self.key_file}"}
        return call(package_repository, name="docker", **{**wish, "fingerprint": self.fingerprint, **args})


@pytest.fixture(scope="module")
def key() -> Iterator[SigningKey]:
    with SigningKey() as one:
        yield one


@pytest.fixture
def node(tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Node:
    program(tmp_path, "apt-get", "")
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    monkeypatch.setattr(package_repository, "APT", tmp_path / "apt")
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "vendor.asc").write_text(key.public())
    return Node(tmp_path / "apt", key, tmp_path / "vendor.asc")


def test_key_and_source_are_written_once(node: Node) -> None:
    result = node.wish()
    assert result["changed"] and result["source"] == str(node.source) and result["replaced"] == []
    text = node.source.read_text()
    assert f"URIs: {URL}\n" in text and f"Signed-By: {node.key}\n" in text
    assert node.key.read_text() == node.key_file.read_text()
    node.key_file.unlink()
    assert not node.wish()["changed"], "a key that is there is not fetched again"


@pytest.mark.parametrize("fingerprint", ["AB" * 20, "the wrong one"])
def test_a_key_with_another_fingerprint_is_refused(node: Node, fingerprint: str) -> None:
    result = node.wish(fingerprint=fingerprint)
    assert result["failed"] and not node.key.exists() and not node.source.exists()
    assert ("nothing was changed" if len(fingerprint) == 40 else "is not 40 hexadecimal digits") in result["msg"]


def test_every_key_of_a_file_must_be_named(node: Node) -> None:
    with SigningKey("another <another@fullrank.invalid>") as other:
        node.key_file.write_text(f"{node.key_file.read_text()}\n{other.public()}")
        refused = node.wish()
        assert refused["failed"] and f"{other.fingerprint()} instead of {node.fingerprint}" in refused["msg"]
        assert node.wish(fingerprint=f"{other.fingerprint().lower()}, {node.fingerprint}")["changed"]


def test_another_source_of_the_repository_goes_and_is_kept_as_save(node: Node) -> None:
    old = node.apt / "sources.list.d/old.list"
    text = f"deb [signed-by=/usr/share/keyrings/old.gpg] {URL} trixie stable\ndeb http://x/ y z\n"
    old.write_text(text)
    foreseen = node.wish(check_mode=True)
    assert foreseen["changed"] and foreseen["replaced"] == [str(old)] and old.read_text() == text
    assert not node.key.exists() and any(one["before"] == text for one in foreseen["diff"])
    assert node.wish()["replaced"] == [str(old)]
    assert old.read_text() == "deb http://x/ y z\n" and old.with_name("old.list.save").read_text() == text


def test_sources_of_aliases_go_too(node: Node) -> None:
    old = node.apt / "sources.list.d/vendor.list"
    old.write_text("deb https://download.docker.com/linux/debian trixie stable\n")
    node.wish(aliases=["https://download.docker.com/linux/debian"])
    assert not old.exists() and old.with_name("vendor.list.save").exists()


def test_absent_removes_source_and_key(node: Node) -> None:
    node.wish()
    assert call(package_repository, name="docker", state="absent", check_mode=True)["changed"] and node.key.exists()
    assert call(package_repository, name="docker", state="absent")["changed"]
    assert not node.key.exists() and not node.source.exists()
    assert not call(package_repository, name="docker", state="absent")["changed"]


def test_a_key_that_cannot_be_fetched_is_an_error(node: Node) -> None:
    assert "cannot be fetched from http://127.0.0.1:9/key" in node.wish(key_url="http://127.0.0.1:9/key")["msg"]


def test_url_key_and_fingerprint_are_required() -> None:
    assert "state is present but all of the following are missing" in call(package_repository, name="x", url=URL)["msg"]
