# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test of a file is found by its path: ``plugins/a/b.py`` is tested by ``tests/unit/plugins/a/test_b.py``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from places import CHECKOUT

PLUGINS = CHECKOUT / "plugins"
TESTS = CHECKOUT / "tests/unit/plugins"
KINDS = ("action", "modules", "module_utils", "plugin_utils")
TESTED_ELSEWHERE = """
module_utils/common: changes
module_utils/docker: move
module_utils/host_tuning: firewall settings
module_utils/node: managed_files pci reader
module_utils/nvidia: findings installed wanted
module_utils/packages: dkms
module_utils/rdma: node stack
module_utils/supervisor: check files
module_utils/systemd: notify service
module_utils/webui: backup
module_utils/weights: manifest shards
module_utils/weights/transfer: peer receiver rsync server target
plugin_utils/actions: controller
plugin_utils/catalog: files option versions
plugin_utils/diagnosis: status tables waiting
plugin_utils/inventory: endpoints rendezvous
plugin_utils/launch: containers options
plugin_utils/launch/engines: call lmdeploy ray request router secret vllm
plugin_utils/memory: engines kv_cache report search values weights
plugin_utils/nccl: bootstrap distance draft fabric facts gid lint_names lint_values lists policy profile rails
plugin_utils/nccl: values variables version
plugin_utils/report: benchmark_plot clock comm_text endpoint_report table
"""
"""Folder: files in it whose tests lie with what uses them. Nothing is added here; what gets a test of its own is taken out."""


def only_documents(file: Path) -> bool:
    """Whether a module is the documentation of the action of its name: nothing of it runs, so there is nothing to test."""
    nodes = ast.parse(file.read_text()).body
    return not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If) for node in nodes)


def elsewhere() -> set[str]:
    """The paths in the list, without their endings."""
    lines = [line.partition(": ") for line in TESTED_ELSEWHERE.strip().splitlines()]
    return {f"{folder}/{name}" for folder, _colon, files in lines for name in files.split()}


def has_test(name: str) -> bool:
    """name: as in the list. A file that does not name what it tests is no test of it."""
    folder, _slash, stem = name.rpartition("/")
    test = TESTS / folder / f"test_{stem}.py"
    return test.exists() and "def test_" in test.read_text() and stem in test.read_text()


FILES = {
    str(file.relative_to(PLUGINS).with_suffix(""))
    for kind in KINDS
    for file in (PLUGINS / kind).rglob("*.py")
    if file.stem != "__init__" and not (kind == "modules" and only_documents(file))
}


@pytest.mark.parametrize("name", sorted(FILES - elsewhere()))
def test_every_file_has_a_test_of_its_own(name: str) -> None:
    folder, _slash, stem = name.rpartition("/")
    assert has_test(name), f"write {(TESTS / folder).relative_to(CHECKOUT)}/test_{stem}.py"


def test_the_list_only_gets_shorter() -> None:
    assert elsewhere() - FILES == set(), "these are no more: take them out of the list"
    assert {name for name in elsewhere() if has_test(name)} == set(), "these have a test: take them out of the list"
    assert len(elsewhere()) <= 80, "write a test instead"


def test_what_only_documents_has_an_action() -> None:
    documents = {file.stem for file in (PLUGINS / "modules").glob("*.py") if only_documents(file)}
    assert documents - {"__init__"} <= {file.stem for file in (PLUGINS / "action").glob("*.py")}
