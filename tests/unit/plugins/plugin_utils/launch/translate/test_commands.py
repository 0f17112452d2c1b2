# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which starts of engines a text has."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import commands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vllm serve m -x", ("vllm", "", ("m", "-x"))),
        ("/opt/v/bin/vllm serve m", ("vllm", "", ("m",))),
        ("numactl -N 0 python3.12 -m sglang.launch_server --model m", ("sglang", "", ("--model", "m"))),
        ("uv run --with x sglang serve --model m", ("sglang", "", ("--model", "m"))),
        ("lmdeploy serve api_server m", ("lmdeploy", "", ("m",))),
        ("docker run vllm/vllm-openai:v0.11.0 --model m", ("vllm", "0.11.0", ("--model", "m"))),
        ("docker run own/image:2 vllm serve m", ("vllm", "", ("m",))),
        ("docker run --entrypoint vllm vllm/vllm-openai:v0.11.0 serve m", ("vllm", "0.11.0", ("m",))),
        (
            "pip install 'sglang[all]==0.5.12'\npython -m sglang.launch_server --model m",
            ("sglang", "0.5.12", ("--model", "m")),
        ),
    ],
)
def test_one_start(text: str, expected: tuple[str, str, tuple[str, ...]]) -> None:
    (found,) = commands.find(text)
    assert (found.engine, found.version, found.words) == expected


@pytest.mark.parametrize(
    "text", ["vllm bench serve", "vllm --help", "docker run lmsysorg/sglang:v0.5.12 nvidia-smi", "lmdeploy chat m"]
)
def test_no_start(text: str) -> None:
    assert commands.find(text) == []


def test_environment_of_command_container_and_shell() -> None:
    (found,) = commands.find("export A=1\nB=2 docker run -e A -e C=3 own/image bash -c 'D=4 vllm serve m'")
    assert {name: found.env.get(name) for name in "ACD"} == {"A": "1", "C": "3", "D": "4"}
    (found,) = commands.find("env A=1 B=2 vllm serve m")
    assert found.env == {"A": "1", "B": "2"}


def test_a_ray_cluster_beside_it() -> None:
    assert commands.starts_ray("ray start --head\nvllm serve m")
    assert not commands.starts_ray("vllm serve m # ray start")
