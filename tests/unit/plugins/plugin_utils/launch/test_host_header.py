# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine versions a Host header opens (CVE-2026-48710)."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.host_header import (
    AFFECTED,
    ENGINES,
    SAFE,
    UNKNOWN,
    remedy,
    verdict,
)

PUBLISHED = {"vllm": "vllm/vllm-openai", "sglang": "lmsysorg/sglang", "lmdeploy": "openmmlab/lmdeploy"}


@pytest.mark.parametrize(
    ("engine", "version", "image", "starlette", "expected"),
    [
        # a process: what is installed decides, where the engine looks at the URL
        ("sglang", "0.5.5", None, "0.49.3", AFFECTED),
        ("sglang", "0.5.23", None, "1.0.0", AFFECTED),
        ("sglang", "0.5.23", None, "1.0.1", SAFE),
        ("sglang", "0.5.5", None, "1.10.0", SAFE),
        ("sglang", "0.5.5", None, "", UNKNOWN),
        ("vllm", "0.21.0", None, "0.52.1", AFFECTED),
        ("vllm", "0.21.0", None, "1.0.1", SAFE),
        ("lmdeploy", "0.14.0", None, "0.49.1", AFFECTED),
        # the code does not look there
        ("vllm", "0.22.0", None, "0.52.1", SAFE),
        ("vllm", "0.33.0", "vllm/vllm-openai:v0.33.0", "", SAFE),
        ("lmdeploy", "0.12.1", None, "0.40.0", SAFE),
        ("ray", "2.60.0", None, "0.40.0", SAFE),
        ("smg", "1.13.0", None, "", SAFE),
        # published images, older than the mended Starlette
        ("sglang", "0.5.5", "lmsysorg/sglang:v0.5.5", "", AFFECTED),
        ("sglang", "0.5.5", "registry.example:5000/hub/lmsysorg/sglang:v0.5.5-cu126", "", AFFECTED),
        ("vllm", "0.21.0", "vllm/vllm-openai:v0.21.0", "", AFFECTED),
        ("lmdeploy", "0.13.0", "openmmlab/lmdeploy:v0.13.0", "", AFFECTED),
        # those that were made later, or by others
        ("sglang", "0.5.12.post1", "lmsysorg/sglang:v0.5.12.post1", "", UNKNOWN),
        ("sglang", "0.5.23", "lmsysorg/sglang:v0.5.23", "", UNKNOWN),
        ("sglang", "0.5.5", "registry.example/own/engine:1", "", UNKNOWN),
        ("sglang", "0.5.5", "lmsysorg/sglang@sha256:" + "0" * 64, "", UNKNOWN),
        ("sglang", "0.5.5", "notlmsysorg/sglang:v0.5.5", "", UNKNOWN),
        # the environment on the node is not what a container runs
        ("sglang", "0.5.23", "lmsysorg/sglang:v0.5.23", "0.49.3", UNKNOWN),
        ("vllm", "main", None, "0.49.3", UNKNOWN),
    ],
)
def test_verdicts(engine: str, version: str, image: str | None, starlette: str, expected: str) -> None:
    judgement, why = verdict(engine, version, image, starlette)
    assert judgement == expected and why


@pytest.mark.parametrize("engine", list(ENGINES))
def test_what_the_remedy_names_is_not_affected(engine: str) -> None:
    version = remedy(engine).partition("engine_version that is ")[2].split(",")[0]
    if version.startswith("newer than"):
        version = version.split()[-1] + ".post1"
    else:
        version = version.split()[0]
    image = f"{PUBLISHED[engine]}:v{version}"
    assert verdict(engine, version, image, "")[0] != AFFECTED
    assert verdict(engine, version, None, "1.0.1")[0] == SAFE
