# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the collection that tools and people rely on."""

from __future__ import annotations

import ast
import re

import pytest
import yaml
from places import CHECKOUT


def test_the_checkout_is_the_collection() -> None:
    galaxy = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())
    link = CHECKOUT / "collections/ansible_collections" / galaxy["namespace"] / galaxy["name"]
    assert link.resolve() == CHECKOUT


def test_every_module_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())
    modules = {p.stem for p in (CHECKOUT / "plugins/modules").glob("*.py")}
    assert set(runtime["action_groups"]["serving"]) == modules


# docs/decisions/005: the utils that touch the world, and what they touch
TOUCH_THE_WORLD = {
    "module_utils/comm_check/worker.py": "torch, inside the check's own process",
    "module_utils/common/changes.py": "files of a node",
    "module_utils/common/files.py": "a file, replaced in one step",
    "module_utils/common/http_client.py": "HTTP",
    "module_utils/common/trees.py": "a folder with all that is in it",
    "module_utils/docker/daemon.py": "docker and its files",
    "module_utils/docker/move.py": "docker, its files and its data",
    "module_utils/node/managed_files.py": "compares, writes and removes configuration files of a node",
    "module_utils/node/links.py": "sysfs",
    "module_utils/node/reader.py": "files, commands and connections of a node",
    "module_utils/rank/former.py": "systemd, and files of a node",
    "plugin_utils/launch/engines/ray_gate.py": "Ray, inside the gate's own process",
    "module_utils/rdma/bandwidth.py": "ib_write_bw",
    "module_utils/rank/run_lock.py": "the file of a lock",
    "module_utils/router/former.py": "folders of a node",
    "module_utils/router/obstacles.py": "names of hosts, and whether certificates are there",
    "module_utils/router/status.py": "HAProxy, its socket, and supervisors",
    "module_utils/supervisor/agent.py": "sockets, signals and files of the supervisor's own process",
    "module_utils/supervisor/check.py": "the supervisor's status file",
    "module_utils/supervisor/engine.py": "systemd, procfs and cgroups",
    "module_utils/supervisor/ready_server.py": "sockets of the supervisor's own process",
    "module_utils/systemd/notify.py": "systemd, the journal and procfs, for the process's own unit",
    "module_utils/systemd/service.py": "the files of a service; systemd by commands of the caller's function",
    "module_utils/systemd/state.py": "procfs; commands by the caller's function",
    "module_utils/webui/backup.py": "the folders of data and backups; PostgreSQL by its own programs",
    "module_utils/weights/convert/conversion.py": "the two folders of a conversion",
    "module_utils/weights/convert/worker.py": "torch and files, inside the conversion's own process",
    "module_utils/weights/fetch/git_lfs.py": "a repository, by git and git-lfs",
    "module_utils/weights/fetch/sources.py": "hubs, by their clients; a folder",
    "module_utils/weights/fetch/worker.py": "a model's folder, inside the fetch's own process",
    "module_utils/weights/folder.py": "a model's folder",
    "module_utils/weights/shards.py": "a model's folder",
    "module_utils/weights/worker_user.py": "owners in a model's folder, and what another user may do there",
    "module_utils/weights/transfer/peer.py": "the progress file of the transfer's own process",
    "module_utils/weights/transfer/receiver.py": "the other nodes of a transfer",
    "module_utils/weights/transfer/rsync.py": "the other nodes of a transfer, by rsync",
    "module_utils/weights/transfer/server.py": "the other nodes of a transfer",
    "module_utils/weights/transfer/target.py": "a model's folder, inside the transfer's own process",
    "plugin_utils/actions/gathering.py": "what a diagnosis gathers, in the run's temporary folder",
    "plugin_utils/actions/run_identity.py": "procfs of the controller",
    "plugin_utils/catalog/files.py": "the catalogs beside it",
    "plugin_utils/nccl/known.py": "the table beside it",
    "plugin_utils/memory/models/defaults.py": "the defaults of the models' configuration classes",
    "plugin_utils/inventory/roles.py": "reads the defaults, the argument specifications and the value rules of the roles",
    "plugin_utils/diagnosis/tables.py": "the tables beside it",
}
WORLD_MODULES = {"http", "requests", "shutil", "socket", "subprocess", "torch", "urllib"}
WORLD_CALLS = {
    *("glob", "iterdir", "listdir", "rglob", "scandir", "walk"),
    *("mkstemp", "open", "read_bytes", "read_text", "readlink", "write_bytes", "write_text"),
    *("chmod", "chown", "makedirs", "mkdir", "rmdir", "symlink_to", "touch", "unlink"),
}
"""Calls that read or change files, whatever they are called on."""

WORLD_FUNCTIONS = {"kill", "listdir", "popen", "remove", "rename", "replace", "symlink", "system"}
"""Those of `os` whose names strings and lists have too."""


def touches_the_world(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(name.name.partition(".")[0] in WORLD_MODULES for name in node.names):
            return True
        # urllib.parse takes texts apart
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").removeprefix("urllib.parse").partition(".")[0] in WORLD_MODULES
        ):
            return True
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "host":
                continue  # a pure check that asks the reader it was given
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            on_os = isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "os"
            if name in WORLD_CALLS or (on_os and name in WORLD_FUNCTIONS):
                return True
    return False


def utils() -> dict[str, str]:
    folders = (CHECKOUT / "plugins/plugin_utils", CHECKOUT / "plugins/module_utils")
    return {str(p.relative_to(CHECKOUT / "plugins")): p.read_text() for folder in folders for p in folder.rglob("*.py")}


# what plugins of one kind have in common stands where collections keep it, and is itself a piece of a plugin
PIECES_OF_PLUGINS = {
    f"plugin_utils/actions/{name}.py" for name in ("controller", "gathering", "host_variables", "watch")
}


def test_utils_know_no_ansible() -> None:
    for path, source in utils().items():
        if path in PIECES_OF_PLUGINS:
            continue
        for node in ast.walk(ast.parse(source)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in modules if name.partition(".")[0] == "ansible"], path


def test_only_the_named_utils_touch_the_world() -> None:
    assert {path for path, source in utils().items() if touches_the_world(source)} == set(TOUCH_THE_WORLD)


# files that open HTTP connections without the one client, and why
OTHER_HTTP_CLIENTS = {
    "module_utils/common/http_client.py": "the client itself",
    "module_utils/weights/transfer/receiver.py": "one connection for many ranges of large files, written to disk as they come",
    "modules/package_repository.py": "a file from outside, with what Ansible's own modules know of proxies and certificates",
}
CLIENT_MODULES = ("ansible.module_utils.urls", "http.client", "requests", "urllib.error", "urllib.request", "urllib3")


def http_clients(source: str) -> list[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
    return sorted(name for name in found if name in CLIENT_MODULES)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import urllib.request", ["urllib.request"]),
        ("from urllib import request", ["urllib.request"]),
        ("from http.client import HTTPConnection", ["http.client"]),
        ("def late():\n    import requests", ["requests"]),
        ("from urllib.parse import quote\nfrom http.server import HTTPServer", []),
    ],
)
def test_an_http_client_is_recognised(source: str, found: list[str]) -> None:
    assert http_clients(source) == found


def test_there_is_one_http_client() -> None:
    plugins = CHECKOUT / "plugins"
    sources = {path.relative_to(plugins).as_posix(): path.read_text() for path in plugins.rglob("*.py")}
    assert {path for path, source in sources.items() if http_clients(source)} == set(OTHER_HTTP_CLIENTS)


# files that put a file into another one's place by themselves, and why
OTHER_REPLACES = {
    "module_utils/common/files.py": "the one way to write a file: beside it, flushed, renamed",
    "module_utils/node/managed_files.py": "moves a file of the user's to its backup",
    "module_utils/weights/convert/worker.py": "one file that travels into an image; a shard is written as it is made",
    "module_utils/weights/fetch/git_lfs.py": "what git-lfs has stored becomes the part of a download",
    "module_utils/weights/transfer/target.py": "a file that is not what the manifest lists becomes a partial one",
    "modules/docker_restart.py": "docker's configuration is put aside and back",
    "modules/self_signed_certificate.py": "openssl writes the files beside their places",
}


def replaces_files(source: str) -> bool:
    """Whether a source renames files or makes temporary ones: ``str.replace`` has two arguments, ``Path.replace`` has one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            on_os = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
            if node.func.attr in ("mkstemp", "NamedTemporaryFile"):
                return True
            if node.func.attr in ("replace", "rename") and (on_os or len(node.args) == 1):
                return True
    return False


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("os.replace(one, other)", True),
        ("path.replace(other)", True),
        ("Path(name).rename(other)", True),
        ("tempfile.mkstemp(dir=folder)", True),
        ("text.replace('a', 'b')", False),
        ("moment.replace(tzinfo=UTC)", False),
    ],
)
def test_a_replaced_file_is_recognised(source: str, found: bool) -> None:
    assert replaces_files(source) is found


def test_files_are_replaced_in_one_place() -> None:
    plugins = CHECKOUT / "plugins"
    sources = {path.relative_to(plugins).as_posix(): path.read_text() for path in plugins.rglob("*.py")}
    assert {path for path, source in sources.items() if replaces_files(source)} == set(OTHER_REPLACES)


# programs that are called in one place only, or nowhere
CALLED = {"systemd-run": {"module_utils/systemd/transient.py"}, "curl": set(), "wget": set()}


@pytest.mark.parametrize("program", CALLED)
def test_a_program_is_called_by_its_one_caller(program: str) -> None:
    plugins = CHECKOUT / "plugins"
    word = re.compile(rf"[\"'](?:/usr/bin/)?{program}[\"']")
    found = {path.relative_to(plugins).as_posix() for path in plugins.rglob("*.py") if word.search(path.read_text())}
    assert found == CALLED[program]
