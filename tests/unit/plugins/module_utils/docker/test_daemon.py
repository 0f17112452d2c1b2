# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of docker and its service. Writing daemon.json is tested with the module daemon_json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import daemon


class Node:
    """Programs that answer by the beginning of their command lines; one that is not named here fails."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def __call__(self, words: list[str], **_others: Any) -> tuple[int, str, str]:
        self.calls.append(" ".join(words))
        for beginning, output in self.answers.items():
            if self.calls[-1].startswith(beginning.replace("_", " ")):
                return 0, output, ""
        return 1, "", "refused"


def test_a_stopped_daemon_is_not_woken() -> None:
    node = Node(docker_info='{"ID": "a"}')
    assert daemon.info(node) == {} and not [call for call in node.calls if call.startswith("docker")]


@pytest.mark.parametrize(
    ("output", "expected"),
    [('{"ID": "a"}', {"ID": "a"}), ('{"ServerErrors": ["no daemon"]}', {}), ("not json", {})],
)
def test_the_answer_of_a_daemon(output: str, expected: dict[str, str]) -> None:
    assert daemon.info(Node(**{"systemctl is-active": "", "docker_info": output})) == expected


def test_containers_are_inspected_together_and_only_where_there_are_any() -> None:
    node = Node(docker_ps="a\nb\n", docker_inspect=json.dumps([{"Id": "a"}, {"Id": "b"}]))
    assert daemon.containers(node) == [{"Id": "a"}, {"Id": "b"}] and node.calls[-1] == "docker inspect a b"
    node = Node(docker_ps="\n")
    assert daemon.containers(node) == [] and len(node.calls) == 1
    assert daemon.containers(Node()) == []


def test_flags_come_from_the_command_and_from_the_files_of_its_environment(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text('# set by hand\nOPTS="--log-level warn"\n')
    shown = (
        "ExecStart={ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// $OPTS $MORE ; pid=1 }\n"
        "Environment=MORE=--bip=10.9.0.1/24\n"
        f"EnvironmentFiles={tmp_path}/docker (ignore_errors=yes)\n"
        f"EnvironmentFiles={tmp_path}/absent (ignore_errors=yes)\n"
        "FragmentPath=/lib/systemd/system/docker.service\nDropInPaths=/etc/a.conf /etc/b.conf\n"
    )
    files, flags = daemon.unit_flags(Node(systemctl_show=shown))
    fragment = "/lib/systemd/system/docker.service"
    assert files == [fragment, "/etc/a.conf", "/etc/b.conf", f"{tmp_path}/docker"]
    assert {"hosts": "-H", "log-level": "--log-level", "bip": "--bip"}.items() <= flags.items()


def test_a_daemon_that_does_not_run_never_started() -> None:
    shown = "ActiveState=inactive\nExecMainStartTimestampMonotonic=0\n"
    assert daemon.started(Node(systemctl_show=shown)) == 0
    assert daemon.started(Node(systemctl_show="ActiveState=active\nExecMainStartTimestampMonotonic=1000000\n")) > 0


def test_ranks_in_docker_are_those_whose_unit_starts_it() -> None:
    shown = (
        "Id=fullrank-rank@a.service\nExecStart={ path=/usr/bin/docker ; argv[]=/usr/bin/docker run x ; }\n\n"
        "Id=fullrank-rank@b.service\nExecStart={ path=/opt/v/bin/vllm ; argv[]=/opt/v/bin/vllm serve ; }\n"
    )
    listed = "fullrank-rank@a.service loaded\nfullrank-rank@b.service loaded\n"
    answers = {"systemctl list-units": listed, "systemctl show": shown}
    assert daemon.engine_units(Node(**answers)) == ["fullrank-rank@a.service"]
    assert daemon.engine_units(Node(**{"systemctl list-units": "\n"})) == []


def test_a_program_is_found_where_the_path_of_a_login_does_not_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/usr/sbin/dockerd")
    assert daemon.installed("dockerd") and not daemon.installed("podman")
