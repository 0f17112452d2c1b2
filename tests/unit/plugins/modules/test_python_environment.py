# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module python_environment, with an interpreter that stands in for Python and its pip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import python_environment
from module_runner import call, calls, only_programs, program

# makes an environment whose interpreter is itself; the files "offline" and "bare" (no ensurepip) are switches
PYTHON = """\
case "$*" in
*version_info*) echo {version};;
*"-m venv"*) for path; do :; done; mkdir -p "$path/bin"; ln -s "$0" "$path/bin/python"
  case "$*" in *--without-pip*) ;; *) [ ! -e {folder}/bare ];; esac;;
*"-m pip"*) [ ! -e {folder}/offline ] || {{ echo "ERROR: No matching distribution found for a==1" >&2; exit 1; }};;
esac"""


class Node:
    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "opt/webui"

    def python(self, name: str, version: str) -> None:
        program(self.folder, name, PYTHON.format(version=version, folder=self.folder))

    def wish(self, requirements: str = "a==1\n", **args: Any) -> dict[str, Any]:
        params = {"path": str(self.path), "requirements": requirements, "versions": ["3.12", "3.11"], **args}
        return call(python_environment, **params)

    def locked(self, locks: dict[str, str]) -> dict[str, Any]:
        return call(python_environment, path=str(self.path), locks=locks)

    @property
    def pips(self) -> list[str]:
        return [line for line in calls(self.folder) if "-m pip" in line]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    one = Node(tmp_path)
    one.python("python3.12", "3.12")
    one.python("python3", "3.98")  # a version that no machine has by its own name
    monkeypatch.setattr(python_environment, "SYSTEM_PYTHON", str(tmp_path / "python3"))
    return one


def test_made_once_with_the_best_interpreter(node: Node) -> None:
    result = node.wish()
    assert result["changed"] and result["python"] == str(node.folder / "python3.12")
    assert (node.path / "requirements.txt").read_text() == "a==1\n" and len(node.pips) == 1
    assert (
        "python3.12 -m pip install" in node.pips[0] and "--require-hashes --no-deps --only-binary=:all:" in node.pips[0]
    )
    assert not node.wish()["changed"] and len(node.pips) == 1


def test_an_interpreter_without_ensurepip_is_served_by_the_nodes_pip(node: Node) -> None:
    (node.folder / "bare").touch()
    assert node.wish()["changed"]
    assert node.pips[0].startswith(f"python3 -m pip --python {node.path}/bin/python install")


def test_any_interpreter_will_do_where_none_is_named(node: Node) -> None:
    assert node.wish(versions=[])["python"] == str(node.folder / "python3")


def test_made_again_when_its_interpreter_is_gone(node: Node) -> None:
    node.wish()
    (node.folder / "python3.12").unlink()
    result = node.wish(versions=["3.12", "3.98"])
    assert result["changed"] and result["python"] == str(node.folder / "python3")


def test_made_again_for_another_list(node: Node) -> None:
    node.wish()
    (node.path / "left-over").touch()
    assert node.wish("a==2\n")["changed"] and not (node.path / "left-over").exists()


def test_an_interrupted_installation_is_not_taken_for_one(node: Node) -> None:
    (node.folder / "offline").touch()
    failed = node.wish()
    assert failed["failed"] and "No matching distribution found for a==1" in failed["msg"]
    (node.folder / "offline").unlink()
    assert node.wish()["changed"]


def test_check_mode_names_the_interpreter_and_makes_nothing(node: Node) -> None:
    result = node.wish(check_mode=True)
    assert result["changed"] and result["python"].endswith("python3.12") and not node.path.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://mirror/simple", "--index-url https://mirror/simple"),
        ("http://mirror/simple", "--trusted-host mirror"),
    ],
)
def test_another_index(node: Node, url: str, words: str) -> None:
    node.wish(index_url=url)
    assert words in node.pips[0] and ("--trusted-host" in node.pips[0]) is url.startswith("http://")


def test_no_interpreter_that_will_do_is_an_error_with_what_there_is(node: Node) -> None:
    result = node.wish(versions=["3.9"])
    assert result["failed"] and "Python 3.9 is needed, and" in result["msg"] and "python3 is 3.98" in result["msg"]
    assert node.wish(python="python3")["failed"], "a named one of another version is not taken"


def test_the_list_of_the_interpreters_own_version_is_taken(node: Node) -> None:
    locks = {"3.12": "a==1\n", "3.98": "a==2\n"}
    result = node.locked(locks)
    assert result["changed"] and result["python"] == str(node.folder / "python3")
    assert (node.path / "requirements.txt").read_text() == "a==2\n"
    assert not node.locked(locks)["changed"]
    (node.folder / "python3").unlink()
    assert node.locked(locks)["changed"] and (node.path / "requirements.txt").read_text() == "a==1\n"


def test_no_list_for_any_interpreter_is_an_error(node: Node) -> None:
    result = node.locked({"3.9": "a==1\n"})
    assert result["failed"] and "Python 3.9 is needed" in result["msg"]
