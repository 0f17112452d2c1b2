"""The module `rank`: what it writes, and what of it is shown."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import rank

SECRET = "sk-not-to-be-seen"


def given(**launch: Any) -> dict[str, Any]:
    spec = {
        "argv": ["/opt/v/bin/vllm", "serve"],
        "env": {"A": "1"},
        "container": {},
        "spec_hash": "abc",
        "environment_file": "",
        "load_credential": "",
        "files": [],
        "secret_file": {},
        "rendezvous_port": 29500,
    }
    return {
        "deployment": "tiny",
        "description": "tiny: rank 0 of 2",
        "launch": {**spec, **launch},
        "secret": f"VLLM_API_KEY={SECRET}\n",
        "stop_timeout": 60,
        "dynamic_user": True,
        "group": {"rank": 0, "names": ["n1", "n2"]},
        "api_key": SECRET,
    }


def test_a_launch_without_a_key_is_one_unit() -> None:
    assert list(rank.wanted_files(given())) == [Path("/etc/systemd/system/fullrank-tiny.service")]


def test_the_key_goes_to_a_file_of_its_own() -> None:
    secret_file = {"path": "/etc/fullrank/tiny.secret.env", "mode": "0600", "format": "VLLM_API_KEY=%s\n"}
    files = rank.wanted_files(given(secret_file=secret_file, environment_file=secret_file["path"]))
    unit, mode, hidden = files[Path("/etc/systemd/system/fullrank-tiny.service")]
    assert (mode, hidden) == (0o644, False)
    assert SECRET not in unit
    assert "EnvironmentFile=/etc/fullrank/tiny.secret.env" in unit
    assert files[Path("/etc/fullrank/tiny.secret.env")] == (f"VLLM_API_KEY={SECRET}\n", 0o600, True)


def test_the_environment_of_a_container_is_in_its_command() -> None:
    unit, _, _ = rank.wanted_files(given(container={"name": "fullrank-tiny", "runtime": "docker"}))[
        Path("/etc/systemd/system/fullrank-tiny.service")
    ]
    assert "Environment=A=1" not in unit
    assert "FULLRANK_SPEC_HASH=abc" in unit


@pytest.mark.parametrize("before", ["", f"VLLM_API_KEY={SECRET}\n"])
def test_a_diff_never_shows_a_secret(before: str) -> None:
    shown = rank.diff_of(Path("/etc/x"), (before, 0o600), (f"VLLM_API_KEY={SECRET}2\n", 0o600), True)
    assert SECRET not in str(shown)
    assert shown["before"] != shown["after"]


def test_a_diff_of_a_file_shows_all_of_it() -> None:
    shown = rank.diff_of(Path("/etc/x"), ("a\n", 0o644), ("b\n", 0o644), False)
    assert (shown["before"], shown["after"]) == ("a\n", "b\n")
    assert shown["after_header"] == "/etc/x (mode 0644)"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_file_has_its_mode_whatever_the_umask_and_leaves_nothing_beside_it(tmp_path: Path, umask: int) -> None:
    target = tmp_path / "folder/x.env"
    before = os.umask(umask)
    try:
        rank.write(target, "one\n", 0o600)
        rank.write(target, "two\n", 0o644)
    finally:
        os.umask(before)
    assert rank.read(target) == ("two\n", 0o644)
    assert [p.name for p in target.parent.iterdir()] == ["x.env"]


def test_a_file_that_is_not_there_reads_as_empty(tmp_path: Path) -> None:
    assert rank.read(tmp_path / "x") == ("", 0)


def test_the_supervisors_configuration_holds_no_secret() -> None:
    files = rank.supervisor_files(given(), "the-shared-key")
    visible = "".join(text for text, _, secret in files.values() if not secret)
    assert SECRET not in visible and "the-shared-key" not in visible
    content, mode, hidden = files[Path("/etc/fullrank/tiny.group.secret.json")]
    assert (mode, hidden) == (0o600, True)
    assert json.loads(content) == {"group_key": "the-shared-key", "api_key": SECRET}


def test_a_container_is_not_started_without_its_image() -> None:
    launch = {"container": {"image": "docker.io/x@sha256:1"}, "argv": ["/usr/bin/docker", "run", "x"]}
    config = json.loads(rank.supervisor_files(given(**launch), "")[Path("/etc/fullrank/tiny.group.json")][0])
    assert config["probe"] == ["/usr/bin/docker", "image", "inspect", "--format", "ok", "docker.io/x@sha256:1"]


def test_the_supervisors_program_stands_alone(tmp_path: Path) -> None:
    """Without the collection and without what Ansible brings; the oldest Python of a node reads it too."""
    for name, text in rank.group_program.sources().items():
        rank.write(tmp_path / "fullrank_group" / name, text, 0o644)
        ast.parse(text, feature_version=(3, 9))
        assert "ansible" not in text
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path[:0] = ['{tmp_path}']; import fullrank_group.group_agent",
    ]
    subprocess.run(command, check=True)
    rank.write(tmp_path / "check", rank.group_program.check(), 0o755)
    done = subprocess.run([tmp_path / "check", "nothing"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "nothing: no supervisor says anything on this node\n")
