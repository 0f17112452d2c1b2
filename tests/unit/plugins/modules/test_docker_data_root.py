# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module docker_data_root on folders, with programs that stand in for systemctl and docker; cp is the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import daemon, move
from ansible_collections.fullrank.serving.plugins.modules import docker_data_root
from module_runner import call, calls, only_programs, program

# docker keeps its data where daemon.json puts it; "stopped" and "broken" are switches of the tests
SYSTEMCTL = """cd {folder}
case "$*" in
is-active*) [ ! -e stopped ]; exit;;
stop*) touch stopped;;
start*) if [ -e broken ] && grep -qs data-root daemon.json; then exit 1; fi; rm -f stopped;;
list-units*) [ -e ranks ] && echo "fullrank-r1.service loaded active running r1";;
*property=Id,ExecStart*) echo Id=fullrank-r1.service
  echo "ExecStart={{ path=/usr/bin/docker ; argv[]=/usr/bin/docker run image ; }}";;
esac
exit 0"""
DOCKER = """\
cd {folder}
root=$(cut -d '"' -f 4 -s daemon.json 2>/dev/null)
case "$1" in info) printf '{{"DockerRootDir": "%s"}}' "${{root:-{folder}/old}}";; esac"""


class Node:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.old, self.new = folder / "old", folder / "new"
        (self.old / "image").mkdir(parents=True)
        (self.old / "image/layer").write_text("bytes")

    def __call__(self, **args: Any) -> dict[str, Any]:
        return call(docker_data_root, path=str(self.new), **args)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    program(tmp_path, "systemctl", SYSTEMCTL.format(folder=tmp_path))
    program(tmp_path, "docker", DOCKER.format(folder=tmp_path))
    program(tmp_path, "dockerd", "exit 1")
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    config, state = str(tmp_path / "daemon.json"), tmp_path / "state"
    monkeypatch.setattr(daemon.DaemonJson.__init__, "__defaults__", (config,))
    for module in (daemon, move):
        monkeypatch.setattr(module, "DAEMON_JSON", config)
        monkeypatch.setattr(module, "STATE", state)
    monkeypatch.setattr(docker_data_root, "STATE", state)
    monkeypatch.setattr(move, "CONTAINERD_TOML", tmp_path / "config.toml")
    monkeypatch.setattr(move, "mounts", lambda: "/dev/sda1 / ext4 rw 0 0\n")
    return Node(tmp_path)


def test_the_data_is_copied_and_used_and_the_old_folder_stays(node: Node) -> None:
    result = node()
    assert result["changed"] and result["old_roots"] == [str(node.old)]
    assert [(one["what"], one["target"]) for one in result["moved"]] == [("docker", str(node.new))]
    assert (node.new / "image/layer").read_text() == "bytes" and (node.old / "image/layer").exists()
    assert json.loads((node.folder / "daemon.json").read_text()) == {"data-root": str(node.new)}
    again = node()
    assert (again["changed"], again["moved"]) == (False, [])


def test_the_old_folder_is_emptied_when_allowed(node: Node) -> None:
    node()
    assert node(remove_old=True, check_mode=True)["changed"] and (node.old / "image").exists()
    assert node(remove_old=True)["changed"] and list(node.old.iterdir()) == []
    assert not node(remove_old=True)["changed"]


def test_check_mode_compares_and_stops_nothing(node: Node) -> None:
    result = node(check_mode=True)
    assert result["changed"] and result["moved"][0]["source"] == str(node.old)
    assert str(node.new) in result["diff"]["after"] and not node.new.exists()
    assert not [line for line in calls(node.folder) if line.startswith("systemctl st")]


def test_everything_that_prevents_the_move_is_reported_before_it(node: Node) -> None:
    node.new.mkdir()
    (node.new / "mine").touch()
    (node.folder / "ranks").touch()
    result = node()
    assert result["failed"] and [one["code"] for one in result["findings"]] == ["root-not-empty", "root-in-use"]
    assert "would end fullrank-r1.service" in result["msg"] and not (node.folder / "stopped").exists()


def test_a_docker_that_does_not_come_up_gets_its_old_folder_back(node: Node) -> None:
    (node.folder / "broken").touch()
    result = node()
    assert result["failed"] and result["rolled_back"] and f"docker uses {node.old} again" in result["msg"]
    assert not (node.folder / "daemon.json").exists() and not (node.folder / "stopped").exists()
    assert list(node.new.iterdir()) == [] and (node.old / "image/layer").exists()


def test_an_interrupted_move_is_taken_back_by_the_next_call(node: Node) -> None:
    state = node.folder / "state"
    state.mkdir()
    moved = [{"what": "docker", "source": str(node.old), "target": str(node.new)}]
    known = {"moves": moved, "files": {}, "images": [], "containers": [], "running": [], "units": []}
    (state / "data_root.json").write_text(json.dumps({"old": [], "moving": known}))
    node.new.mkdir()
    (node.new / "half").touch()
    assert node(check_mode=True)["changed"] and (node.new / "half").exists()
    result = node()
    assert result["changed"] and (node.new / "image/layer").exists() and not (node.new / "half").exists()


def test_a_docker_that_does_not_answer_is_an_error(node: Node) -> None:
    (node.folder / "stopped").touch()
    assert "docker does not answer" in node()["msg"]


def test_a_docker_that_would_be_installed_first_is_no_error_in_check_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "installed", lambda _: False)
    assert call(docker_data_root, path=str(tmp_path / "new"), check_mode=True)["changed"]
