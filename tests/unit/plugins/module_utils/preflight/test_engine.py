# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the installed engine."""

from __future__ import annotations

from pathlib import Path

import preflight_node as node
import recorded


def test_over_ray_the_python_of_the_environment_is_compared_too(root: Path) -> None:
    recorded.write(root, "commands/opt/engine/bin/python --version", "Python 3.12.3\n")
    assert "python" not in node.ask(root)["node"]["versions"]
    assert node.ask(root, ray=True)["node"]["versions"]["python"] == "3.12.3"


def test_a_build_for_a_cuda_version_is_the_version(root: Path) -> None:
    assert node.trouble(node.ask(root, engine_version="0.9.0+cu124")) == []


def test_files_that_options_name_must_be_there(root: Path) -> None:
    recorded.write(root, "srv/templates/chat.jinja", "{{ messages }}")
    here = {"path": "/srv/templates/chat.jinja", "where": "engine_args.chat_template"}
    gone = {"path": "/srv/lora/a", "where": "engine_args.lora_modules"}
    assert node.trouble(node.ask(root, files=[here])) == []
    (found,) = [one for one in node.ask(root, files=[here, gone])["checks"] if one["severity"] == "fail"]
    assert (found["code"], found["where"]) == ("named-file", "/srv/lora/a")
    assert "engine_args.lora_modules" in found["message"]
