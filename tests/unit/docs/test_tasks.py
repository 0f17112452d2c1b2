# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/tasks.md: its table, and the example beside it, planned without a node."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import tasks as inventory_tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from inventory_vars import first_step
from places import CHECKOUT

EXAMPLE = CHECKOUT / "examples/embeddings"
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (CHECKOUT / "docs/tasks.md").read_text().splitlines()
    if line.startswith("| `")
][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_table_of_the_page_is_that_of_the_code(row: list[str]) -> None:
    name = row[0].strip("`")
    paths = re.findall(r"`(/[^`]+)`", row[1])
    assert paths == list(dict.fromkeys(tasks.smallest(name, engine).path for engine in ("vllm", "sglang")))
    for engine, cell in zip(("vllm", "sglang", "lmdeploy"), row[3:], strict=True):
        since = tasks.SINCE.get((engine, name))
        assert cell == ("no" if name not in tasks.ENGINES[engine] else f"{since} and later" if since else "yes")


def test_the_table_has_every_task() -> None:
    assert [row[0].strip("`") for row in ROWS] == list(tasks.TASKS)


def test_the_first_step_accepts_the_example(tmp_path: Path) -> None:
    files = {path.relative_to(EXAMPLE).as_posix(): path.read_text() for path in EXAMPLE.rglob("*.yml")}
    secrets = {
        "vault_webui_admin_password": "correct-horse-battery",
        "vault_webui_database_url": "postgresql://webui:secret@db/webui",
    }
    result = first_step(tmp_path, files, secrets)
    assert not result.get("failed"), result["msg"]
    assert [one for one in result["findings"] if one["severity"] == "fail"] == []
    assert list(result["deployments"]) == ["qwen", "bge_m3", "bge_reranker"]


def variables(deployment: str) -> dict[str, Any]:
    both = [yaml.safe_load((EXAMPLE / f"group_vars/{name}.yml").read_text()) for name in ("deployments", deployment)]
    return {**both[0], **both[1]}


@pytest.mark.parametrize(
    ("deployment", "task", "words"),
    [
        ("qwen", "generate", "--enable-expert-parallel"),
        ("bge_m3", "embed", "--runner pooling"),
        ("bge_reranker", "score", "--runner pooling"),
    ],
)
def test_what_the_example_starts(deployment: str, task: str, words: str) -> None:
    values = variables(deployment)
    assert inventory_tasks.of(values).name == task
    options = {name.removeprefix("engine_"): value for name, value in values.items() if name.startswith("engine_")}
    own = {
        "engine": options.pop("name"),
        "engine_version": options.pop("version"),
        "engine_args": options.pop("args", {}),
        "runtime": "docker",
        "api_key": "sk-0123456789",
    }
    launch = render({**options, **own}, read_catalog("vllm"))
    assert [one for one in launch["findings"] if one["severity"] == "fail"] == []
    assert words in " ".join(launch["argv"])
