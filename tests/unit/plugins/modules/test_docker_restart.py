# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module docker_restart, with programs that stand in for systemctl, docker and journalctl."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import docker_restart
from module_runner import call, calls, only_programs, program

# a docker.service that started at boot; "ranks" and "refuses" are switches of the tests
SYSTEMCTL = """cd {folder}
case "$*" in
*property=ActiveState*) [ -e stopped ] && echo ActiveState=inactive || echo ActiveState=active
  echo ExecMainStartTimestampMonotonic=1;;
*property=InvocationID*) echo InvocationID=$(cat invocation);;
*property=NeedDaemonReload*) echo NeedDaemonReload=no;;
*property=ExecStart,Env*) echo ExecStart=; echo Environment=; echo FragmentPath=; echo DropInPaths=;;
list-units*) [ -e ranks ] && echo "fullrank-r1.service loaded active running r1";;
*property=Id,ExecStart*) echo Id=fullrank-r1.service
  echo "ExecStart={{ path=/usr/bin/docker ; argv[]=/usr/bin/docker run image ; }}";;
restart*) if grep -qs bad daemon.json; then exit 1; fi
  rm -f stopped; echo "new-$(wc -l <calls)" >invocation;;
esac
exit 0"""


class Docker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "daemon.json"

    def __call__(self, **args: Any) -> dict[str, Any]:
        return call(docker_restart, **args)

    def write(self, text: str) -> None:
        self.file.write_text(text)

    @property
    def restarts(self) -> int:
        return calls(self.folder).count("systemctl restart docker.service")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    program(tmp_path, "systemctl", SYSTEMCTL.format(folder=tmp_path))
    program(tmp_path, "docker", "exit 0")
    program(tmp_path, "journalctl", "echo 'unable to configure the Docker daemon'")
    (tmp_path / "invocation").write_text("boot")
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    monkeypatch.setattr(docker_restart, "DAEMON_JSON", str(tmp_path / "daemon.json"))
    monkeypatch.setattr(docker_restart, "MEMORY", tmp_path / "state/started.json")
    one = Docker(tmp_path)
    one.write("{}")
    os.utime(one.file, (0, 0))  # older than docker
    return one


def test_a_docker_that_was_started_with_what_is_written_is_left_alone(docker: Docker) -> None:
    result = docker()
    assert (result["changed"], result["restart_required"], result["reasons"]) == (False, False, [])
    assert docker.restarts == 0
    os.utime(docker.file)
    assert not docker()["changed"], "touched, and the content is remembered"


def test_a_changed_file_restarts_it_once(docker: Docker) -> None:
    docker()
    docker.write('{"debug": true}')
    result = docker()
    assert result["changed"] and result["reasons"] == [str(docker.file)] and not result["restart_required"]
    assert docker.restarts == 1 and not docker()["changed"]


def test_check_mode_reports_and_restarts_nothing(docker: Docker) -> None:
    docker()
    docker.write('{"debug": true}')
    result = docker(check_mode=True)
    assert result["changed"] and result["reasons"] == [str(docker.file)] and docker.restarts == 0


def test_ranks_are_not_ended_unless_allowed(docker: Docker) -> None:
    docker()
    docker.write('{"debug": true}')
    (docker.folder / "ranks").touch()
    result = docker()
    assert (result["changed"], result["restart_required"]) == (False, True)
    assert result["harmed"] == ["fullrank-r1.service"] and docker.restarts == 0
    allowed = docker(restart_ok=True)
    assert allowed["changed"] and not allowed["restart_required"] and docker.restarts == 1


def test_a_docker_that_does_not_run_is_started(docker: Docker) -> None:
    (docker.folder / "stopped").touch()
    result = docker()
    assert (
        result["changed"] and result["reasons"] == ["docker does not run"] and not (docker.folder / "stopped").exists()
    )


def test_a_file_that_docker_refuses_is_put_aside_with_its_output(docker: Docker) -> None:
    docker()
    (docker.folder / "daemon.json.2026-12-01@00:00~").write_text("{}")  # as the module daemon_json keeps it
    docker.write('{"bad": true}')
    result = docker()
    assert result["failed"] and result["rolled_back"]
    assert "it runs again with the file of before\nunable to configure the Docker daemon" in result["msg"]
    assert docker.file.read_text() == "{}"
    assert (docker.folder / "daemon.json.failed").read_text() == '{"bad": true}'
