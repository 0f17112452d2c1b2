# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of docker run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import docker_run


def run(text: str) -> docker_run.Container:
    found = docker_run.read(text.split())
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["ls -l", "docker ps", "docker exec x run", "vllm serve docker run"])
def test_no_container(text: str) -> None:
    found = docker_run.read(text.split())
    assert found is None or text.startswith("vllm")


def test_image_and_command() -> None:
    found = run("sudo docker run -itd --rm --name x -p8000:8000 --gpus all repo/image:1 serve -v --name y")
    assert (found.runtime, found.image, found.command) == ("docker", "repo/image:1", ["serve", "-v", "--name", "y"])
    assert [word for word, _why in found.dropped] == [
        "--interactive",
        "--tty",
        "--detach",
        "--rm",
        "--name x",
        "--publish 8000:8000",
        "--gpus all",
    ]
    assert all(why for _word, why in found.dropped)


@pytest.mark.parametrize(
    ("words", "mounts"),
    [
        ("-v /a:/b", [{"source": "/a", "target": "/b"}]),
        ("-v /a:/a:ro", [{"source": "/a", "read_only": True}]),
        ("-v/a:/b:ro,z", [{"source": "/a", "target": "/b", "read_only": True}]),
        ("--volume=/a:/b", [{"source": "/a", "target": "/b"}]),
        ("--mount type=bind,source=/a,target=/b,readonly", [{"source": "/a", "target": "/b", "read_only": True}]),
        ("--mount type=bind,src=/a,dst=/a", [{"source": "/a"}]),
        ("-v /dev/shm:/dev/shm", []),
    ],
)
def test_mounts(words: str, mounts: list[dict[str, Any]]) -> None:
    assert run(f"podman run {words} image").mounts == mounts


@pytest.mark.parametrize(("words", "gpus"), [("all", None), ("2", None), ('"device=0,3"', [0, 3]), ("device=1", [1])])
def test_gpus(words: str, gpus: list[int] | None) -> None:
    assert run(f"docker run --gpus {words} image").gpus == gpus


def test_environment_and_what_stays() -> None:
    found = run(
        "nerdctl run -e A=1 --env B -eC=2 --env=D=3=4 --device /dev/infiniband --device /dev/other --security-opt seccomp=x image"
    )
    assert found.env == {"A": "1", "B": "$B", "C": "2", "D": "3=4"}
    assert found.further == ["--device", "/dev/other", "--security-opt", "seccomp=x"]


def test_an_entrypoint_is_the_first_word_of_the_command() -> None:
    assert run("docker run --entrypoint python3 image -m x").command == ["python3", "-m", "x"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("vllm/vllm-openai:v0.11.0", ("vllm", "0.11.0")),
        ("lmsysorg/sglang:v0.5.5.post3-cu130-amd64", ("sglang", "0.5.5.post3")),
        ("registry.example:5000/sglang@sha256:0", ("sglang", "")),
        ("openmmlab/lmdeploy:latest-cu12", ("lmdeploy", "")),
        ("ubuntu:24.04", ("", "")),
    ],
)
def test_engine_and_version_of_an_image(image: str, expected: tuple[str, str]) -> None:
    assert docker_run.engine_of_image(image) == expected
