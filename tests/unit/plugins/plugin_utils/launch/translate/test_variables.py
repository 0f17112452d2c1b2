# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of single words: a variable, something that follows, or nothing with a reason."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import commands
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.variables import Translation, translate


def of(text: str, version: str = "0.20.2") -> Translation:
    (command,) = commands.find(text)
    return translate(command, read_catalog(command.engine).at(version))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("/data/a/", ("/data/a/", None)),
        ("acme/Large-1.5", ("/srv/models/large-1.5", "acme/Large-1.5")),
        ("local-folder", ("/srv/models/model", None)),
    ],
)
def test_model(model: str, expected: tuple[str, str | None]) -> None:
    variables = of(f"vllm serve {model} -tp 8").variables
    assert (variables["engine_model"], variables.get("model_repo")) == expected
    assert variables["engine_served_model_name"]


def test_a_size_from_a_variable_without_a_value_is_left_open() -> None:
    found = of("vllm serve acme/a -tp $GPUS")
    assert "engine_tensor_parallel_size" not in found.variables
    assert "engine_tensor_parallel_size: the command takes it from $GPUS" in found.open
    found = of("vllm serve acme/a --port '<port>'")
    assert "engine_port" not in found.variables
    assert any(line.startswith("engine_port") for line in found.open)


def test_further_ranks_of_a_group() -> None:
    found = of("vllm serve acme/a -tp 8 -pp 2 --nnodes 2 --node-rank 1 --master-addr x --headless")
    assert (found.nodes, found.rank) == (2, 1)
    assert "engine_args" not in found.variables


@pytest.mark.parametrize("name", ["HF_TOKEN", "VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY"])
def test_secrets_are_named_and_not_copied(name: str) -> None:
    found = of(f"{name}=abc123 vllm serve acme/a")
    assert "abc123" not in str(found)
    assert name in [word for word, _why in found.dropped]


def test_several_served_names() -> None:
    found = of("vllm serve acme/a --served-model-name one two")
    assert found.variables["engine_served_model_name"] == ["one", "two"]
