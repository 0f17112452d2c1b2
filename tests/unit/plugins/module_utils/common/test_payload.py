# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs for nodes stand alone: without the collection, without what Ansible brings, for the oldest Python of a node."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import worker as comm_check_worker
from ansible_collections.fullrank.serving.plugins.module_utils.common import files, payload
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import agent as supervisor_agent
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import check as supervisor_check
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import worker as convert_worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import worker as fetch_worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import peer

PACKAGES = [supervisor_agent, fetch_worker, peer]
SINGLE_FILES = [supervisor_check, comm_check_worker, convert_worker]


@pytest.mark.parametrize("entry", PACKAGES, ids=lambda entry: entry.__name__.split("module_utils.")[1])
def test_a_package_stands_alone(entry: ModuleType, tmp_path: Path) -> None:
    for path, text in payload.files(entry, "alone").items():
        files.write(tmp_path / path, text, 0o644)
        ast.parse(text, feature_version=(3, 9))
        assert "ansible" not in text
    command = f"import sys; sys.path[:0] = ['{tmp_path}']; import {payload.main(entry, 'alone')}"
    subprocess.run([sys.executable, "-I", "-c", command], check=True)


@pytest.mark.parametrize("entry", SINGLE_FILES, ids=lambda entry: entry.__name__.split("module_utils.")[1])
def test_a_single_file_stands_alone(entry: ModuleType) -> None:
    text = payload.text(entry)
    ast.parse(text, feature_version=(3, 9))
    assert [path for path, content in payload.files(entry, "alone").items() if content] == [
        f"{payload.main(entry, 'alone').replace('.', '/')}.py"
    ]


def test_the_check_of_a_deployment_without_a_supervisor(tmp_path: Path) -> None:
    files.write(tmp_path / "check", payload.text(supervisor_check), 0o644)
    done = subprocess.run([sys.executable, tmp_path / "check", "nothing"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "nothing: no supervisor reports on this node\n")
