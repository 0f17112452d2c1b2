# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules about sizes propose is accepted by the same rules."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from hypothesis import assume, given, settings
from hypothesis import strategies as st

ABOUT_SIZES = ("sizes-against-nodes", "sizes-against-gpus", "idle-gpus", "replica-against-nodes")
ENGINES = st.sampled_from(
    [
        ("vllm", "0.20.2", {}),
        ("vllm", "0.33.0", {"enable-expert-parallel": True}),
        ("sglang", "0.5.12", {}),
        ("sglang", "0.5.12", {"enable_dp_attention": True}),
        ("sglang", "0.5.23", {"attn-dp-size": 2}),
    ]
)


def found(engine: tuple[str, str, dict[str, Any]], nodes: int, gpus: int, **sizes: int) -> dict[str, str]:
    """code → remedy, of what is wrong with the sizes of a launch."""
    name, version, args = engine
    options = {
        "engine": name,
        "engine_version": version,
        "nnodes": nodes,
        "head_address": "192.0.2.10",
        "rank_address": "192.0.2.10",
        "interface": "eth0",
        "model": "/srv/models/x",
        "served_model_name": "x",
        "gpus_per_node": gpus,
        "engine_args": args,
        "api_key": "sk-0123456789",
    }
    launch = render(options | sizes, read_catalog(name))
    return {one["code"]: one["remedy"] for one in launch["findings"] if one["code"] in ABOUT_SIZES}


@settings(max_examples=60, deadline=None)
@given(
    engine=ENGINES,
    nodes=st.sampled_from([1, 2, 3, 4, 8]),
    gpus=st.sampled_from([4, 8]),
    sizes=st.fixed_dictionaries(
        {
            "tensor_parallel_size": st.integers(1, 40),
            "pipeline_parallel_size": st.integers(1, 4),
            "data_parallel_size": st.integers(1, 16),
        }
    ),
)
def test_a_product_that_is_named_is_accepted(
    engine: tuple[str, str, dict[str, Any]], nodes: int, gpus: int, sizes: dict[str, int]
) -> None:
    wrong = found(engine, nodes, gpus, **sizes)
    products = [int(number) for remedy in wrong.values() for number in re.findall(r"product is (\d+)", remedy)]
    assume(products)
    for product in products:
        assert found(engine, nodes, gpus, tensor_parallel_size=product) == {}
        stages = {"tensor_parallel_size": product // nodes, "pipeline_parallel_size": nodes}
        assert found(engine, nodes, gpus, **stages) == {}
