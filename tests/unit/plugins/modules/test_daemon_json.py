# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module daemon_json on a file in a folder, with programs that stand in for systemctl and dockerd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import daemon
from ansible_collections.fullrank.serving.plugins.modules import daemon_json
from module_runner import call, calls, only_programs, program


class Docker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "etc/daemon.json"

    def set(self, owner: str = "docker", **args: Any) -> dict[str, Any]:
        return call(daemon_json, owner=owner, path=str(self.file), **args)

    @property
    def config(self) -> Any:
        return json.loads(self.file.read_text())


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    program(tmp_path, "systemctl", 'case "$*" in is-active*) exit 3;; esac')
    program(tmp_path, "dockerd", 'case "$*" in --help) echo "  --validate";; *) grep -q bad-key "${2#--config-file=}" && '
            'echo "unable to configure: bad-key" >&2 && exit 1;; esac; exit 0')  # fmt: skip
    monkeypatch.setenv("PATH", only_programs(tmp_path))
    monkeypatch.setattr(daemon, "STATE", tmp_path / "state")
    return Docker(tmp_path)


def test_keys_are_merged_into_what_the_user_wrote_and_go_again(docker: Docker) -> None:
    docker.file.parent.mkdir()
    docker.file.write_text('{"dns": ["192.0.2.1"], "log-opts": {"max-size": "1g"}}')
    result = docker.set(options={"log-opts": {"max-size": "100m", "max-file": "3"}})
    assert result["changed"] and result["owned"] == ["log-opts.max-file", "log-opts.max-size"]
    assert docker.config == {"dns": ["192.0.2.1"], "log-opts": {"max-size": "100m", "max-file": "3"}}
    assert json.loads(Path(result["backup_file"]).read_text())["log-opts"] == {"max-size": "1g"}
    assert not docker.set(options={"log-opts": {"max-size": "100m", "max-file": "3"}})["changed"]
    assert docker.set()["changed"]
    assert docker.config == {"dns": ["192.0.2.1"], "log-opts": {"max-size": "1g"}}


def test_a_file_that_was_made_for_our_keys_goes_with_them(docker: Docker) -> None:
    assert docker.set(options={"live-restore": True})["changed"] and docker.file.exists()
    assert docker.set()["changed"] and not docker.file.exists()


def test_check_mode_asks_dockerd_and_writes_nothing(docker: Docker) -> None:
    result = docker.set(options={"live-restore": True}, check_mode=True)
    assert result["changed"] and '"live-restore": true' in result["diff"]["after"]
    assert any("--validate" in line for line in calls(docker.folder))
    assert not docker.file.exists() and not (docker.folder / "state").exists()


def test_what_dockerd_refuses_is_not_written(docker: Docker) -> None:
    result = docker.set(options={"bad-key": 1})
    assert result["failed"] and "dockerd refuses it: unable to configure: bad-key" in result["msg"]
    assert [one["code"] for one in result["findings"]] == ["daemon-json-refused"] and not docker.file.exists()


def test_a_key_of_another_owner_is_refused(docker: Docker) -> None:
    docker.set(options={"log-driver": "journald"})
    result = docker.set("monitoring", options={"log-driver": "syslog"})
    assert result["failed"] and "log-driver" in result["msg"] and docker.config == {"log-driver": "journald"}


def test_a_file_that_is_no_json_is_left_alone(docker: Docker) -> None:
    docker.file.parent.mkdir()
    docker.file.write_text("{")
    assert docker.set(options={"debug": True})["failed"] and docker.file.read_text() == "{"


def test_passwords_are_masked_in_the_diff(docker: Docker) -> None:
    result = docker.set(options={"proxies": {"http-proxy": "http://user:secret@proxy:3128"}})
    assert "secret" not in json.dumps(result["diff"]) and "secret" in docker.file.read_text()


def test_an_owner_is_required() -> None:
    assert "missing required arguments: owner" in call(daemon_json)["msg"]
