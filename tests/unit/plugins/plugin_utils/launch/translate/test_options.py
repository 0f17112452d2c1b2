# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a command line by the catalog of a version."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import options

VLLM = read_catalog("vllm").at("0.20.2")
SGLANG = read_catalog("sglang").at("0.5.12")


@pytest.mark.parametrize(
    ("catalog", "words", "expected"),
    [
        (VLLM, ["--max-model-len", "100"], {"max_model_len": 100}),
        (VLLM, ["--max-model-len=100"], {"max_model_len": 100}),
        (VLLM, ["--max_model_len", "32k"], {"max_model_len": "32k"}),
        (VLLM, ["--seed", "-1"], {"seed": -1}),
        (
            VLLM,
            ["--enforce-eager", "--no-enable-prefix-caching"],
            {"enforce_eager": True, "enable_prefix_caching": False},
        ),
        (VLLM, ["--speculative-config", '{"method": "ngram"}'], {"speculative_config": {"method": "ngram"}}),
        (VLLM, ["--max-num-seqs", "many"], {"max_num_seqs": "many"}),
        (VLLM, ["--no-such", "1", "--other", "--third", "a", "b"], {"no_such": 1, "other": True, "third": ["a", "b"]}),
        (VLLM, ["--speculative-config.method", "mtp"], {"speculative_config.method": "mtp"}),
        (SGLANG, ["--tp", "8"], {"tensor_parallel_size": 8}),
        (SGLANG, ["--cuda-graph-bs", "1", "2"], {"cuda_graph_bs": [1, 2]}),
        (
            SGLANG,
            ["--trust-remote-code", "--mem-fraction-static", ".8"],
            {"trust_remote_code": True, "mem_fraction_static": 0.8},
        ),
    ],
)
def test_options(catalog: Any, words: list[str], expected: dict[str, Any]) -> None:
    assert options.read(words, catalog).options == expected


def test_words_that_belong_to_no_option() -> None:
    read = options.read(["org/model", "--enforce-eager", "another"], VLLM)
    assert read.positional == ["org/model", "another"]
