# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `rank`: what it writes, and what of it is shown."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import changes, files
from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import files as supervisor_files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import rank, rank_drain

SECRET = "sk-not-to-be-seen"


def params(**launch: Any) -> dict[str, Any]:
    spec = {
        "argv": ["/opt/v/bin/vllm", "serve"],
        "env": {"A": "1"},
        "container": {},
        "spec_hash": "abc",
        "environment_file": "",
        "load_credential": "",
        "group_token": "",
        "files": [],
        "secret_file": {},
        "rendezvous_port": 29500,
        "start_order": {"together": True, "port": 29500},
    }
    return {
        "deployment": "tiny",
        "description": "tiny: rank 0 of 2, vllm 0.32.0",
        "launch": {**spec, **launch},
        "secret": f"VLLM_API_KEY={SECRET}\n",
        "stop_timeout": 60,
        "dynamic_user": True,
        "group": {"rank": 0, "names": ["n1", "n2"], "requires": [], "spec": "of-the-group"},
        "group_key": "the-shared-key",
        "api_key": SECRET,
    }


def test_a_launch_without_a_key_is_one_unit() -> None:
    assert list(supervisor_files.engine_files(params(), "k")) == [
        Path("/etc/systemd/system/fullrank-rank@tiny.service")
    ]


def test_the_key_goes_to_a_file_of_its_own() -> None:
    secret_file = {"path": "/etc/fullrank/tiny.secret.env", "mode": "0600", "format": "VLLM_API_KEY=%s\n"}
    files = supervisor_files.engine_files(params(secret_file=secret_file, environment_file=secret_file["path"]), "k")
    unit, mode, hidden = files[Path("/etc/systemd/system/fullrank-rank@tiny.service")]
    assert (mode, hidden) == (0o644, False)
    assert SECRET not in unit
    assert "EnvironmentFile=/etc/fullrank/tiny.secret.env" in unit
    assert files[Path("/etc/fullrank/tiny.secret.env")] == (f"VLLM_API_KEY={SECRET}\n", 0o600, True)


def test_the_token_of_a_group_is_one_on_all_ranks_and_does_not_tell_its_key() -> None:
    place = "/etc/fullrank/tiny.group.token"
    found = [
        supervisor_files.engine_files(params(group_token=place), key)[Path(place)] for key in ("k", "k", "another")
    ]
    assert found[0] == found[1] != found[2]
    text, mode, secret = found[0]
    assert (len(text), mode, secret) == (64, 0o600, True)


def test_the_environment_of_a_container_is_in_its_command() -> None:
    unit, _, _ = supervisor_files.engine_files(
        params(container={"name": "fullrank-rank-tiny", "runtime": "docker"}), "k"
    )[Path("/etc/systemd/system/fullrank-rank@tiny.service")]
    assert "Environment=A=1" not in unit
    assert "FULLRANK_SPEC_HASH=abc" in unit


@pytest.mark.parametrize("before", ["", f"VLLM_API_KEY={SECRET}\n"])
def test_a_diff_never_shows_a_secret(before: str) -> None:
    shown = file_diff("/etc/x", (before, 0o600), (f"VLLM_API_KEY={SECRET}2\n", 0o600), secret=True)
    assert SECRET not in str(shown)
    assert shown["before"] != shown["after"]


def test_a_diff_of_a_file_shows_all_of_it() -> None:
    shown = file_diff("/etc/x", ("a\n", 0o644), ("b\n", 0o644))
    assert (shown["before"], shown["after"]) == ("a\n", "b\n")
    assert shown["after_header"] == "/etc/x (mode 0644)"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_file_has_its_mode_whatever_the_umask_and_leaves_nothing_beside_it(tmp_path: Path, umask: int) -> None:
    target = tmp_path / "folder/x.env"
    before = os.umask(umask)
    try:
        files.write(target, "one\n", 0o600)
        files.write(target, "two\n", 0o644)
    finally:
        os.umask(before)
    assert changes.read(target) == ("two\n", 0o644)
    assert [p.name for p in target.parent.iterdir()] == ["x.env"]


def test_the_check_is_a_program_of_the_systems_python() -> None:
    text, mode, _ = supervisor_files.supervisor_files(params(), "")[supervisor_files.CHECK]
    assert (text.splitlines()[0], mode) == ("#!/usr/bin/python3", 0o755)


def test_two_who_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    """Two deployments of a machine share the program fullrank-check."""
    target = tmp_path / "check"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: files.write(target, "the same\n" * 1000, 0o755), range(200)))
    assert changes.read(target) == ("the same\n" * 1000, 0o755)
    assert [path.name for path in tmp_path.iterdir()] == ["check"]


def test_a_file_that_is_not_there_reads_as_empty(tmp_path: Path) -> None:
    assert changes.read(tmp_path / "x") == ("", 0)


def test_the_supervisors_configuration_holds_no_secret() -> None:
    files = supervisor_files.supervisor_files(params(), "the-shared-key")
    visible = "".join(text for text, _, secret in files.values() if not secret)
    assert SECRET not in visible and "the-shared-key" not in visible
    content, mode, hidden = files[Path("/etc/fullrank/tiny.supervisor.secret.json")]
    assert (mode, hidden) == (0o600, True)
    assert json.loads(content) == {"group_key": "the-shared-key", "api_key": SECRET}


def test_a_container_is_not_started_without_its_image() -> None:
    container = {"name": "x", "runtime": "docker", "image": "docker.io/x@sha256:1"}
    launch = {"container": container, "argv": ["/usr/bin/docker", "run", "x"]}
    config = json.loads(
        supervisor_files.supervisor_files(params(**launch), "")[Path("/etc/fullrank/tiny.supervisor.json")][0]
    )
    assert config["probe"] == ["/usr/bin/docker", "image", "inspect", "--format", "ok", "docker.io/x@sha256:1"]


class Node:
    """Stands in for AnsibleModule on a node whose files lie in a folder, and whose engine serves."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.check_mode, self.failure = folder, False, ""
        monkeypatch.setattr(names, "CONFIG", str(folder / "etc"))
        monkeypatch.setattr(rank.check, "RUN", folder / "run")
        monkeypatch.setattr(names, "PROGRAMS", str(folder / "lib"))
        monkeypatch.setattr(names, "UNITS", str(folder / "units"))
        monkeypatch.setattr(names, "FORMER_UNITS", str(folder / "run"))
        monkeypatch.setattr(names, "ready_mark", lambda name: str(folder / f"{name}.ready"))
        monkeypatch.setattr(supervisor_files, "UNITS", folder / "units")
        monkeypatch.setattr(supervisor_files, "CHECK", folder / "check")

    def run_command(self, words: list[str], check_rc: bool = False) -> tuple[int, str, str]:
        return 0, "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", ""

    def get_bin_path(self, program: str) -> str | None:
        return None

    def fail_json(self, msg: str) -> None:
        raise SystemExit(msg)

    def bring(self, state: str, **params: Any) -> rank.Rank:
        self.params = {"deployment": "tiny", "undo": False, **params}
        one = rank.Rank(self)  # type: ignore[arg-type]
        getattr(one, state)()
        return one

    def present(self, spec_hash: str, **launch: Any) -> rank.Rank:
        return self.bring("present", **params(spec_hash=spec_hash, **launch))

    def ready(self, spec_hash: str) -> None:
        """As its supervisor notes it."""
        (self.folder / "tiny.ready").write_text(f"{spec_hash}\n")

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): path.read_text() for path in self.folder.rglob("*") if path.is_file()
        }


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def with_key(node: Node, suffix: str = "env") -> dict[str, Any]:
    return {"secret_file": {"path": str(node.folder / f"etc/tiny.secret.{suffix}"), "mode": "0600", "format": "%s"}}


def test_a_key_that_is_taken_away_leaves_no_file(node: Node) -> None:
    """Also when another engine reads it from another file."""
    node.present("one", **with_key(node, "yaml"))
    node.present("two", **with_key(node))
    assert {name for name in node.files() if ".secret." in name} == {
        "etc/tiny.secret.env",
        "etc/tiny.supervisor.secret.json",
    }
    predicted = node.present("three")
    assert "etc/tiny.secret.env" not in node.files()
    assert SECRET not in str(predicted.files.diff)


def test_a_launch_that_was_ready_is_kept_and_written_again(node: Node) -> None:
    node.present("one", **with_key(node), files=[{"path": str(node.folder / "etc/tiny.x/y.json"), "content": "{}"}])
    node.ready("one")
    before = node.files()
    changed = node.present("two", argv=["/opt/w/bin/vllm", "serve"])
    assert (changed.files.changed, changed.launch["spec_hash"], changed.launch["before"]) == (
        True,
        "two",
        "vllm 0.32.0",
    )
    assert "etc/tiny.secret.env" not in node.files() and not (node.folder / "etc/tiny.x").exists()
    assert (node.folder / "etc/tiny.previous.json").stat().st_mode & 0o777 == 0o600
    assert SECRET not in str(changed.files.diff)

    back = node.bring("rolled_back")
    assert back.launch == {"spec_hash": "one", "spec": "of-the-group", "engine": "vllm 0.32.0"}
    after = node.files()
    del after["etc/tiny.previous.json"]
    config = "etc/tiny.supervisor.json"
    assert json.loads(after.pop(config)).items() >= json.loads(before.pop(config)).items()
    assert after == before
    again = node.bring("rolled_back")
    assert not (again.changed or again.files.changed)


def test_a_launch_that_was_never_ready_is_not_kept(node: Node) -> None:
    node.present("one")
    node.ready("one")
    node.present("two")
    node.present("three")
    assert node.bring("rolled_back").launch["spec_hash"] == "one"


def test_an_upgrade_that_is_undone_leaves_what_was_kept_before_it(node: Node) -> None:
    """So that a rollback goes to the same launch on nodes that the upgrade has reached and on those that it has not."""
    for name in ("one", "two"):
        node.present(name)
        node.ready(name)
    before = node.files()
    node.present("three")
    assert node.bring("rolled_back", undo=True).launch["spec_hash"] == "two"
    assert {name: text for name, text in node.files().items() if "supervisor.json" not in name} == {
        name: text for name, text in before.items() if "supervisor.json" not in name
    }
    assert node.bring("rolled_back").launch["spec_hash"] == "one"
    # written again after a rollback, the same launch is not kept behind itself
    node.ready("one")
    node.present("two")
    assert node.bring("rolled_back", undo=True).launch["spec_hash"] == "one"
    with pytest.raises(SystemExit, match="no earlier launch"):
        node.bring("rolled_back")


def test_a_launch_that_is_written_again_is_not_its_own_predecessor(node: Node) -> None:
    node.present("one")
    node.ready("one")
    again = node.present("one")
    assert not again.files.changed
    with pytest.raises(SystemExit, match="no earlier launch of tiny is kept on this node"):
        node.bring("rolled_back")


def test_what_cannot_be_started_is_not_written_back(node: Node) -> None:
    node.present("one", container={"name": "x", "runtime": "podman", "image": "engine:1"}, argv=["/bin/false"])
    node.ready("one")
    node.present("two")
    before = node.files()
    with pytest.raises(SystemExit, match="cannot be started: the image is not there"):
        node.bring("rolled_back")
    assert node.files() == before


def test_check_mode_keeps_nothing_and_reports_what_it_would_keep(node: Node) -> None:
    node.present("one")
    node.ready("one")
    before = node.files()
    node.check_mode = True
    predicted = node.present("two")
    assert node.files() == before
    assert "the target of playbooks/rollback.yml" in str(predicted.files.diff)


def test_a_unit_that_systemd_forgets_meanwhile_is_no_failure(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def systemctl(words: list[str], check_rc: bool = False) -> tuple[int, str, str]:
        if words[1] == "reset-failed":
            assert not check_rc
            return 1, "", "Unit fullrank-rank@tiny.service not loaded."
        return 0, "LoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n", ""

    monkeypatch.setattr(node, "run_command", systemctl)
    node.bring("stopped")


def test_nothing_of_a_rank_is_left_when_it_is_removed(node: Node) -> None:
    node.present("one", **with_key(node))
    node.ready("one")
    node.present("two", **with_key(node))
    other = node.folder / "etc/tiny.other.supervisor.json"
    other.write_text("{}")
    (node.folder / "run").mkdir()
    (node.folder / "run/tiny.epoch").write_text("3 abc\n")
    node.bring("absent")
    assert set(node.files()) == {"etc/tiny.other.supervisor.json", "check"}
    assert not (node.folder / "lib").exists()
    other.unlink()
    node.bring("absent")
    assert not (node.folder / "etc").exists(), "a folder in which nothing is left goes too"


def test_a_supervisor_that_has_just_read_its_configuration_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [{"ready": False, "engine": "running"}, None, {"ready": False, "engine": "stopped"}]
    monkeypatch.setattr(rank_drain.time, "sleep", lambda _seconds: None)

    def serves(*states: dict[str, Any] | None) -> bool:
        left = list(states)
        monkeypatch.setattr(rank_drain.check, "status", lambda _name: left.pop(0))
        return rank_drain.serves("tiny") and not left

    assert serves({"ready": True, "engine": "running"})
    assert serves(replies[0], replies[0], {"ready": True, "engine": "running"})
    assert not serves(replies[0], replies[1])
    assert not serves(replies[2])
    monkeypatch.setattr(rank_drain, "READ_AGAIN_S", 0.0)
    assert not serves(replies[0])


def test_what_a_supervisor_of_another_version_had_more_of_goes(node: Node) -> None:
    node.present("one")
    stale = node.folder / "lib/supervisor/tiny/fullrank_supervisor/group_agent.py"
    stale.write_text("")
    assert node.present("one").files.changed and not stale.exists()
    assert not node.present("one").files.changed


def test_a_rank_under_its_former_names_keeps_its_key(node: Node) -> None:
    """Its supervisors go on hearing those that are not taken over yet."""
    (node.folder / "etc").mkdir()
    (node.folder / "etc/tiny.group.json").write_text('{"files": []}')
    (node.folder / "etc/tiny.group.secret.json").write_text('{"group_key": "of-all-ranks", "api_key": ""}')
    node.bring("present", **params(spec_hash="one") | {"group_key": None})
    files = node.files()
    assert json.loads(files["etc/tiny.supervisor.secret.json"])["group_key"] == "of-all-ranks"
    assert not [name for name in files if ".group." in name]


def test_nothing_is_written_where_a_file_that_options_name_is_not_there(node: Node) -> None:
    here, gone = node.folder / "chat.jinja", node.folder / "lora"
    here.write_text("{{ messages }}")
    reads = [
        {"path": str(here), "where": "engine_args.chat_template"},
        {"path": str(gone), "where": "engine_args.lora_modules"},
    ]
    before = node.files()
    with pytest.raises(SystemExit, match=r"lora \(engine_args.lora_modules\)") as stopped:
        node.present("one", reads=reads)
    assert "chat.jinja" not in str(stopped.value)
    assert node.files() == before
    gone.mkdir()
    assert node.present("one", reads=reads).files.changed


def test_a_program_that_is_not_there_yet_is_not_called_one_of_another_version(node: Node) -> None:
    def shown(one: rank.Rank) -> set[str]:
        return {
            part["prepared"].rpartition(", ")[2] for part in one.files.diff if "program" in part.get("prepared", "")
        }

    assert shown(node.present("one")) == {"new\n"}
    for path in (node.folder / "lib").rglob("*.py"):
        path.write_text("# older\n")
    assert shown(node.present("one")) == {"of another version\n"}
