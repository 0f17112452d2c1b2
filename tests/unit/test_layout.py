"""The shape of the collection that tools and people rely on."""

from __future__ import annotations

import ast
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


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
    "bandwidth": "ib_write_bw",
    "catalog_files": "the catalogs beside it",
    "comm_worker": "torch, inside the check's own process",
    "completion": "HTTP",
    "doors": "HTTP",
    "daemon": "systemd, the journal and procfs, for the process's own unit",
    "docker_daemon": "docker and its files",
    "docker_move": "docker, its files and its data",
    "conversion": "the two folders of a conversion",
    "convert_worker": "torch and files, inside the conversion's own process",
    "fetch_sources": "hubs, by their clients; git; a folder",
    "files": "a file, replaced in one step",
    "fetch_worker": "a model's folder, inside the fetch's own process",
    "group_agent": "sockets, signals and files of the supervisor's own process",
    "group_check": "the supervisor's status file",
    "group_engine": "systemd, procfs and cgroups",
    "engine_metrics": "HTTP",
    "ray_gate": "Ray, inside the gate's own process",
    "router_agent": "sockets, signals and files of the router's own process",
    "host": "files, commands and connections of a node",
    "links": "sysfs",
    "service": "the files of a service; systemd by commands of the caller's function",
    "tables": "the tables beside it",
    "trees": "a folder with all that is in it",
    "systemd": "procfs; commands by the caller's function",
    "text_files": "files of a node",
    "shards": "a model's folder",
    "weights": "a model's folder",
    "weights_checking": "a model's folder, inside the transfer's own process",
    "weights_copying": "the other nodes of a transfer, by rsync",
    "weights_peer": "the progress file of the transfer's own process",
    "weights_receiving": "the other nodes of a transfer",
    "weights_serving": "the other nodes of a transfer",
    "webui_backup": "the folders of data and backups; PostgreSQL by its own programs",
    "webui_probe": "HTTP",
}
WORLD_MODULES = {"http", "requests", "shutil", "socket", "subprocess", "torch", "urllib"}
WORLD_CALLS = {
    "glob",
    "iterdir",
    "mkstemp",
    "open",
    "read_bytes",
    "read_text",
    "readlink",
    "rglob",
    "write_bytes",
    "write_text",
}


def touches_the_world(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(name.name.partition(".")[0] in WORLD_MODULES for name in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in WORLD_MODULES:
            return True
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "host":
                continue  # a pure check that asks the reader it was given
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in WORLD_CALLS:
                return True
    return False


def utils() -> dict[str, str]:
    folders = (CHECKOUT / "plugins/plugin_utils", CHECKOUT / "plugins/module_utils")
    return {str(p.relative_to(CHECKOUT)): p.read_text() for folder in folders for p in folder.rglob("*.py")}


# what plugins of one kind have in common stands where collections keep it, and is itself a piece of a plugin
PIECES_OF_PLUGINS = {"plugins/plugin_utils/controller_action.py"}


def test_utils_know_no_ansible() -> None:
    for path, source in utils().items():
        if path in PIECES_OF_PLUGINS:
            continue
        for node in ast.walk(ast.parse(source)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in modules if name.partition(".")[0] == "ansible"], path


def test_only_the_named_utils_touch_the_world() -> None:
    assert {Path(path).stem for path, source in utils().items() if touches_the_world(source)} == set(TOUCH_THE_WORLD)
