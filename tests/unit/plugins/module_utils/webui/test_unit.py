# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open WebUI's unit and secrets, its backups, and the addresses of what is behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import service
from ansible_collections.fullrank.serving.plugins.module_utils.webui import backup
from ansible_collections.fullrank.serving.plugins.module_utils.webui import unit as webui_unit
from ansible_collections.fullrank.serving.plugins.modules import self_signed_certificate, service_unit
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CHECKOUT

SPEC: dict[str, Any] = {"version": "0.12.4", "runtime": "process", "data": "/data", "host": "0.0.0.0", "port": 8080}
PROCESS = webui_unit.Spec(**SPEC, program="/opt/webui/bin/open-webui", env={"ENV": "prod", "X": "100% $HOME"})
CONTAINER = webui_unit.Spec(
    **SPEC | {"runtime": "/usr/bin/docker"}, image="r/webui@sha256:1", account="990:980", container_args=["--cpus=2"]
)


@settings(deadline=None)  # a shell is started: how long that takes is the machine's
@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)))
def test_a_shell_reads_of_the_file_of_secrets_what_was_written(value: str) -> None:
    text = webui_unit.secret_file({"SECRET": value})
    found = subprocess.run(
        ["sh", "-c", f'{text}\nprintf %s "$SECRET"'], check=True, capture_output=True, text=True, env={}
    )
    assert found.stdout == value


@pytest.mark.parametrize(("name", "value"), [("A-B", "x"), ("1A", "x"), ("A", "two\nlines"), ("", "x")])
def test_what_no_file_of_secrets_can_hold(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"variable|control character"):
        webui_unit.secret_file({name: value})


def test_a_process_runs_as_its_account_and_reads_its_secrets_from_the_file() -> None:
    unit = webui_unit.render(PROCESS, "S=1")
    assert "\nUser=fullrank-webui\n" in unit
    assert "\nExecStart=/opt/webui/bin/open-webui serve --host 0.0.0.0 --port 8080\n" in unit
    assert "\nEnvironmentFile=/etc/fullrank/webui.secret.env\n" in unit
    assert '\nEnvironment="X=100%% $HOME"\n' in unit
    assert "\nReadWritePaths=/data\n" in unit


@pytest.mark.parametrize(
    ("data", "folder", "writes"),
    [
        ("/srv/open webui", "/srv/open webui", '"/srv/open webui"'),
        ("/srv/x /etc", "/srv/x /etc", '"/srv/x /etc"'),
        ("/srv/%n", "/srv/%%n", '"/srv/%%n"'),
        ("/srv/it's", "/srv/it's", '"/srv/it\'s"'),
        ("/srv/$HOME", "/srv/$HOME", '"/srv/$HOME"'),
    ],
)
def test_its_folder_is_one_path(data: str, folder: str, writes: str) -> None:
    lines = webui_unit.render(replace(PROCESS, data=data), "S=1").splitlines()
    assert f"WorkingDirectory={folder}" in lines and f"ReadWritePaths={writes}" in lines


def test_a_container_is_shown_no_secret_that_docker_inspect_would_tell() -> None:
    unit = webui_unit.render(CONTAINER, "S=hidden")
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert start.startswith("ExecStart=/usr/bin/docker run --rm --name fullrank-webui --network host --user 990:980 ")
    assert "--volume /etc/fullrank/webui.secret.env:/run/fullrank/webui.env:ro --cpus=2 --entrypoint /bin/sh" in start
    assert start.endswith('r/webui@sha256:1 -c "set -a; . /run/fullrank/webui.env; set +a; exec bash start.sh"')
    assert "--env PORT=8080" in start and "--env DATA_DIR=/app/backend/data" in start
    assert "EnvironmentFile" not in unit and "hidden" not in unit and "User=" not in unit
    assert "After=network-online.target docker.service\n" in unit


@pytest.mark.parametrize("spec", [PROCESS, CONTAINER])
def test_where_the_service_of_a_unit_listens(spec: webui_unit.Spec) -> None:
    unit = webui_unit.render(replace(spec, host="192.0.2.7", port=8081), "S=1")
    assert webui_unit.listening(unit) == ("192.0.2.7", 8081)
    assert webui_unit.listening("[Service]\nExecStart=/bin/true\n") is None


def test_a_changed_secret_or_setting_is_another_service() -> None:
    def found(spec: webui_unit.Spec, secrets: str) -> str:
        return webui_unit.render(spec, secrets).partition("FULLRANK_SPEC_HASH=")[2].partition("\n")[0]

    other = webui_unit.Spec(**SPEC, program="/opt/webui/bin/open-webui", env={"ENV": "dev"})
    hashes = {found(PROCESS, "S=1"), found(PROCESS, "S=2"), found(other, "S=1")}
    assert len(hashes) == 3 and all(len(one) == 64 for one in hashes)
    assert found(PROCESS, "S=1") == found(PROCESS, "S=1")


def test_the_database_is_reached_without_a_word_on_a_command_line() -> None:
    url = "postgresql://me:p%40ss%2Fword@db.example:6543/chats?sslmode=require"
    assert backup.connection(url) == {
        "PGHOST": "db.example",
        "PGPORT": "6543",
        "PGUSER": "me",
        "PGPASSWORD": "p@ss/word",
        "PGDATABASE": "chats",
        "PGSSLMODE": "require",
    }
    assert backup.connection("postgresql://db/chats") == {"PGHOST": "db", "PGDATABASE": "chats"}
    socket = "postgresql://me@/chats?host=/run/postgresql&port=5433"
    assert backup.connection(socket) == {
        "PGHOST": "/run/postgresql",
        "PGPORT": "5433",
        "PGUSER": "me",
        "PGDATABASE": "chats",
    }


def really(words: list[str], **_: Any) -> tuple[int, str, str]:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_backup_brings_back_exactly_what_was_there(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "backups/one"
    (data / "uploads").mkdir(parents=True)
    (data / "cache").mkdir()
    (data / "webui.db").write_text("chats")
    (data / "uploads/a").write_text("file")
    (data / "cache/b").write_text("large")
    assert backup.complete(folder) is None
    backup.save(really, data, folder, "", {"version": "0.12.3"})
    assert backup.complete(folder) == {"version": "0.12.3"}
    assert not (folder / "data/cache").exists()
    (data / "webui.db").write_text("broken")
    (data / "uploads/a").unlink()
    (data / "new").write_text("of the failed version")
    backup.restore(really, folder, data, "")
    there = {str(path.relative_to(data)): path.read_text() for path in data.rglob("*") if path.is_file()}
    assert there == {"webui.db": "chats", "uploads/a": "file", "cache/b": "large"}


def test_a_dump_that_fails_is_reported_and_makes_no_backup(tmp_path: Path) -> None:
    def refused(words: list[str], **_: Any) -> tuple[int, str, str]:
        return (1, "", "connection refused") if words[0] == "pg_dump" else (0, "", "")

    (tmp_path / "data").mkdir()
    with pytest.raises(RuntimeError, match="pg_dump failed: connection refused"):
        backup.save(refused, tmp_path / "data", tmp_path / "one", "postgresql://db/chats", {})
    assert backup.complete(tmp_path / "one") is None


def test_the_newest_backups_stay(tmp_path: Path) -> None:
    for day in (1, 2, 3, 4):
        (tmp_path / f"2026010{day}T000000-0.12.{day}").mkdir()
    (tmp_path / "pending.json").write_text("{}")
    assert backup.prune(tmp_path, 2) == [str(tmp_path / f"2026010{day}T000000-0.12.{day}") for day in (1, 2)]
    assert backup.prune(tmp_path / "none", 2) == []


def test_a_backup_that_does_not_fit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/webui.db").write_bytes(b"x" * 2_000_000)
    assert backup.room(tmp_path / "data", tmp_path / "not/there/yet") == ""
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    assert "takes 1.9 MiB, and" in backup.room(tmp_path / "data", tmp_path / "backups")


def test_the_role_brings_the_list_of_its_default_version() -> None:
    version = yaml.safe_load((CHECKOUT / "roles/webui/defaults/main.yml").read_text())["webui_version"]
    lines = (CHECKOUT / f"roles/webui/files/open-webui-{version}.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith(("#", " "))]
    assert f"open-webui=={version} \\" in pins
    assert all(line.endswith(" \\") and "==" in line for line in pins)  # a hash follows each


def test_names_in_a_certificate() -> None:
    printed = (
        "Subject Alternative Name:\n    DNS:chat.example.com, IP Address:192.0.2.20, IP Address:2001:DB8:0:0:0:0:0:1"
    )
    wanted = {"chat.example.com", "192.0.2.20", "2001:db8::1"}
    assert self_signed_certificate.named(printed) == set(map(self_signed_certificate.alternative, wanted))


def test_diffs_show_no_secret() -> None:
    before = service.File("/etc/a", "SECRET=old", 0o600)
    after = service.File("/etc/a", "SECRET=new", 0o600, secret=True)
    shown = json.dumps(service.diff(before, after))
    assert "old" not in shown and "=new" not in shown
    assert "(not shown, changed)" in shown
    assert "x = 2" in json.dumps(service.diff(None, service.File("/etc/b", "x = 2")))


def test_a_watched_file_is_part_of_the_service(tmp_path: Path) -> None:
    certificate = tmp_path / "one.crt"
    hashes = set()
    for content in (None, "a", "b"):
        if content:
            certificate.write_text(content)
        hashes.add(service_unit.digest("unit", [], [str(certificate)]))
    assert len(hashes) == 3


def test_the_variables_of_its_group_are_checked_before_anything_else() -> None:
    """Misspelt or wrong ones are refused, and those that are made of other hosts' (the endpoints) can be read."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    words = [program, "playbooks/inventory.yml", "-i", "molecule/webui/inventory"]
    wrong = ["-e", "webui_port=many", "-e", "webui_databse_url=x"]
    for more, code in (([], 0), (wrong, 2)):
        run = subprocess.run(
            [*words, *more],
            check=False,
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            env=os.environ | {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
        )
        assert run.returncode == code, run.stdout
    assert "webui_port (-e): many is not a whole number" in run.stdout
    assert "webui_databse_url (-e): nothing reads webui_databse_url; write webui_database_url" in run.stdout
