# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `diagnose`: what it returns of a node, and which secrets it knows itself."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.fullrank.serving.plugins.modules import diagnose
from ansible_collections.fullrank.serving.plugins.modules.diagnose import secrets_on_node
from module_runner import call


def test_the_nodes_own_secrets_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.secret.env").write_text("VLLM_API_KEY=one\n")
    (tmp_path / "a.secret.yaml").write_text('api-key: "two"\n')
    (tmp_path / "b.secret.env").write_text("VLLM_API_KEY=three\n")
    assert secrets_on_node("a", tmp_path) == ["one", "two"]


def test_a_deployment_is_required() -> None:
    result = call(diagnose)
    assert result["failed"] and "missing required arguments: deployment" in result["msg"]
