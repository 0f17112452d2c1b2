# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data parallel over nodes as each version of vLLM wants it, and what belongs to no user there."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import vllm_nodes
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from places import CHECKOUT

WIDE: dict[str, Any] = {
    "engine": "vllm",
    "nnodes": 2,
    "head_address": "192.0.2.10",
    "interface": "eth0",
    "model": "/srv/models/moe",
    "served_model_name": "moe",
    "data_parallel_size": 16,
    "gpus_per_node": 8,
    "engine_args": {"enable_expert_parallel": True},
    "api_key": "sk-0123456789",
}


def launch(version: str, rank: int = 0, more: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    args = WIDE["engine_args"] | (more or {})
    own = {"rank": rank, "rank_address": f"192.0.2.{10 + rank}", "engine_version": version, "engine_args": args}
    return render(WIDE | own | changes, read_catalog("vllm"))


def options(rendered: dict[str, Any], *names: str) -> dict[str, str | None]:
    """Those of the options that are written, with the word behind each."""
    argv = rendered["engine_argv"]
    return {name: argv[argv.index(name) + 1] if name != "--headless" else "" for name in names if name in argv}


def failed(rendered: dict[str, Any]) -> dict[str, str]:
    return {one["code"]: one["remedy"] for one in rendered["findings"] if one["severity"] == "fail"}


PER_RANK = (
    *("--headless", "--nnodes", "--node-rank", "--master-addr", "--master-port", "--data-parallel-size-local"),
    *("--data-parallel-address", "--data-parallel-rpc-port", "--data-parallel-start-rank"),
)


@pytest.mark.parametrize("version", ["0.11.1", "0.20.2", "0.33.0"])
def test_a_version_that_knows_nodes_needs_their_numbers_only(version: str) -> None:
    head, other = launch(version), launch(version, 1)
    assert failed(head) == failed(other) == {}
    shared = {"--nnodes": "2", "--master-addr": "192.0.2.10", "--master-port": "29501"}
    assert options(head, *PER_RANK) == shared | {"--node-rank": "0"}
    assert options(other, *PER_RANK) == shared | {"--node-rank": "1", "--headless": ""}


@pytest.mark.parametrize("version", ["0.10.0", "0.10.2", "0.11.0"])
def test_an_older_one_is_given_its_copies(version: str) -> None:
    head, other = launch(version, rendezvous_port=29600), launch(version, 1, rendezvous_port=29600)
    assert failed(head) == failed(other) == {}
    shared = {
        "--data-parallel-size-local": "8",
        "--data-parallel-address": "192.0.2.10",
        "--data-parallel-rpc-port": "29600",
    }
    assert options(head, *PER_RANK) == shared
    assert options(other, *PER_RANK) == shared | {"--data-parallel-start-rank": "8", "--headless": ""}
    assert (head["start_order"], head["serves"], other["serves"]) == ({"together": True, "port": 29600}, True, False)


@pytest.mark.parametrize(
    ("version", "changes", "words"),
    [
        ("0.8.5", {}, "from 0.10.0 on"),
        ("0.9.2", {}, "from 0.10.0 on"),
        ("0.10.2", {"tensor_parallel_size": 16, "data_parallel_size": 1}, "executor: ray or a version from 0.11.1 on"),
        ("0.10.2", {"nnodes": 4, "tensor_parallel_size": 16, "data_parallel_size": 2}, "a version from 0.11.1 on"),
    ],
)
def test_what_a_version_cannot_do_is_refused_with_one_that_can(
    version: str, changes: dict[str, Any], words: str
) -> None:
    found = failed(launch(version, **changes))
    assert words in found["no-native-multi-node"]
    assert failed(launch("0.11.1", **changes)) == {}


@pytest.mark.parametrize(
    "name", ["data_parallel_rank", "data-parallel-start-rank", "-dpr", "data_parallel_address", "-dpa"]
)
def test_what_differs_by_rank_is_no_ones_to_write(name: str) -> None:
    for rank in (0, 1):
        rendered = launch("0.20.2", rank, {name: 8})
        assert failed(rendered) == {"option-owned": "leave it out here"}
    assert failed(launch("0.20.2", nnodes=1, data_parallel_size=8, more={name: 0})) == {
        "option-owned": "leave it out here"
    }


def test_what_is_the_same_on_every_rank_may_be_written() -> None:
    for rank in (0, 1):
        more = {"data_parallel_size_local": 8, "data_parallel_rpc_port": 13345}
        rendered = launch("0.20.2", rank, more)
        assert failed(rendered) == {}
        assert options(rendered, "--data-parallel-rpc-port") == {"--data-parallel-rpc-port": "13345"}
        assert "copies-on-a-node" in failed(launch("0.20.2", rank, more | {"data_parallel_size_local": 4}))


DENSE = {"config": {"model_type": "llama", "num_hidden_layers": 80, "hidden_size": 8192}}
EXPERTS = {"config": {"model_type": "deepseek_v3", "n_routed_experts": 256}}


def copies(version: str, rank: int, model_info: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Two copies of tensor parallel 16 over four nodes, the given one of them."""
    addresses = [f"192.0.2.{10 + number}" for number in range(4)]
    sizes = {"nnodes": 4, "tensor_parallel_size": 16, "data_parallel_size": 2, "rank_addresses": addresses}
    return launch(version, rank, more, model_info=model_info, **sizes)


@pytest.mark.parametrize("version", ["0.28.0", "0.32.0", "0.33.0"])
def test_a_dense_copy_over_nodes_is_a_group_of_its_own_and_meets_at_its_first_node(version: str) -> None:
    ranks = [copies(version, rank, DENSE, {"data_parallel_rpc_port": 13345}) for rank in range(4)]
    assert [failed(one) for one in ranks] == [{}] * 4
    first = {"--data-parallel-size": "2", "--data-parallel-address": "192.0.2.10", "--data-parallel-rpc-port": "13345"}
    port = {"--master-port": "29501"}
    names = (*PER_RANK, "--data-parallel-size")
    assert [options(one, *names) for one in ranks] == [
        {**first, **port, "--nnodes": "4", "--node-rank": "0", "--master-addr": "192.0.2.10"},
        {**port, "--nnodes": "2", "--node-rank": "1", "--master-addr": "192.0.2.10", "--headless": ""},
        {**first, **port, "--nnodes": "4", "--node-rank": "2", "--master-addr": "192.0.2.12", "--headless": ""},
        {**port, "--nnodes": "2", "--node-rank": "1", "--master-addr": "192.0.2.12", "--headless": ""},
    ]
    assert ranks[0]["start_order"] == {"together": True, "port": 13345}
    assert [one["serves"] for one in ranks] == [True, False, False, False]


def test_a_copy_with_experts_meets_the_others_at_the_head() -> None:
    for rank in range(4):
        got = options(copies("0.32.0", rank, EXPERTS), *PER_RANK, "--data-parallel-size")
        assert (got["--nnodes"], got["--master-addr"], got["--data-parallel-size"]) == ("4", "192.0.2.10", "2")


def test_what_the_model_is_decides_and_is_asked_for() -> None:
    def codes(rendered: dict[str, Any]) -> set[str]:
        return {one["code"] for one in rendered["findings"] if one["code"] == "model-not-read"}

    assert codes(copies("0.32.0", 1, {})) == {"model-not-read"}
    assert codes(copies("0.32.0", 1, DENSE)) == codes(copies("0.32.0", 1, EXPERTS)) == set()
    assert "dense-copies-over-nodes" in failed(copies("0.27.0", 1, DENSE))
    assert failed(copies("0.13.0", 1, DENSE)) == {}


def test_who_joins_a_copy_must_know_where_it_meets() -> None:
    alone = launch("0.32.0", 3, nnodes=4, tensor_parallel_size=16, data_parallel_size=2, model_info=DENSE)
    assert failed(alone) == {"no-rank-addresses": "write those of all ranks, in rank order"}


SERVERS_APART = [
    ("0.20.2", {"data_parallel_hybrid_lb": True, "data_parallel_size_local": 8}, {}, "hybrid-balancing-without-router"),
    ("0.28.0", {"data_parallel_hybrid_lb": True}, {}, "hybrid-balancing-without-router"),
    ("0.10.2", {"data-parallel-hybrid-lb": True}, {}, "hybrid-balancing-without-router"),
    (
        "0.28.0",
        {"data_parallel_external_lb": True},
        {"tensor_parallel_size": 8, "data_parallel_size": 2},
        "external-balancing-without-router",
    ),
]


@pytest.mark.parametrize(("version", "balancing", "changes", "code"), SERVERS_APART)
def test_servers_on_every_node_need_a_router(
    version: str, balancing: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    for rank in (0, 1):
        found = failed(launch(version, rank, more=balancing, behind_router=False, **changes))
        assert set(found) == {code}
        assert "router" in found[code] and "leave it out" in found[code]
        for router in (True, None):
            rendered = launch(version, rank, more=balancing, behind_router=router, secret_file="/etc/key", **changes)
            assert failed(rendered) == {}
            assert rendered["serves"] and rendered["secret_file"]["path"] == "/etc/key"
            assert options(rendered, "--headless", "--host", "--port") == {"--host": "0.0.0.0", "--port": "8000"}
    assert failed(launch(version, behind_router=False, **changes)) == {}


@pytest.mark.parametrize("balancing", [{"-dpe": True}, {"-dpm": True}])
def test_several_servers_on_one_node_are_refused_and_the_remedy_is_not(balancing: dict[str, Any]) -> None:
    one = {"nnodes": 1, "data_parallel_size": 8}
    (remedy,) = failed(launch("0.28.0", more=balancing, behind_router=True, **one)).values()
    assert "leave it out" in remedy and "engine_replicas" in remedy
    assert failed(launch("0.28.0", **one)) == {}


def test_of_a_copy_on_several_nodes_the_first_serves() -> None:
    sizes = {"nnodes": 4, "tensor_parallel_size": 16, "data_parallel_size": 2, "behind_router": True}
    ranks = [launch("0.28.0", rank, {"data_parallel_external_lb": True}, **sizes) for rank in range(4)]
    assert [failed(one) for one in ranks] == [{}] * 4
    assert [one["serves"] for one in ranks] == [True, False, True, False]
    assert ["--headless" in one["engine_argv"] for one in ranks] == [False, True, False, True]
    assert [bool(one["secret_file"]) for one in ranks] == [True, False, True, False]


def test_on_one_node_hybrid_balancing_is_the_heads() -> None:
    args = {"data_parallel_hybrid_lb": True, "data_parallel_size_local": 8}
    assert failed(launch("0.28.0", nnodes=1, data_parallel_size=8, more=args)) == {}


CONTEXT: list[tuple[str, int, dict[str, Any], set[str]]] = [
    # version, tensor parallel size over two nodes of eight, options, what is refused
    ("0.28.0", 1, {"prefill_context_parallel_size": 16}, set()),
    ("0.33.0", 1, {"-pcp": 16}, set()),
    ("0.28.0", 16, {"prefill_context_parallel_size": 2}, {"sizes-against-gpus"}),
    ("0.28.0", 8, {"-pcp": 2, "-dcp": 16}, set()),
    ("0.28.0", 8, {"-pcp": 2, "-dcp": 2}, set()),
    ("0.28.0", 8, {"-pcp": 2, "-dcp": 8}, {"decode-context-beside-prefill-context"}),
    ("0.20.2", 8, {"-pcp": 2, "-dcp": 8}, set()),
    ("0.20.2", 16, {"-dcp": 3}, {"decode-context-sizes"}),
    ("0.12.0", 8, {"-pcp": 2}, {"prefill-context-unfinished"}),
]


@pytest.mark.parametrize(("version", "tp", "args", "expected"), CONTEXT)
def test_context_parallel(version: str, tp: int, args: dict[str, Any], expected: set[str]) -> None:
    rendered = launch(version, tensor_parallel_size=tp, data_parallel_size=1, more=args)
    assert set(failed(rendered)) == expected
    if "-pcp" in args or "prefill_context_parallel_size" in args:
        assert rendered["parallel"]["gpus"] == tp * (args.get("-pcp") or args["prefill_context_parallel_size"])


def test_before_0_30_nodes_are_counted_without_prefill_context_parallel() -> None:
    for version, expected in (("0.28.0", True), ("0.33.0", False)):
        rendered = launch(version, data_parallel_size=1, more={"prefill_context_parallel_size": 16})
        assert ("context-parallel-over-nodes" in {one["code"] for one in rendered["findings"]}) == expected


@pytest.mark.parametrize(
    ("version", "by_number", "by_copies"), [("0.9.2", False, False), ("0.11.0", False, True), ("0.11.1", True, True)]
)
def test_which_form_a_version_has(version: str, by_number: bool, by_copies: bool) -> None:
    options = read_catalog("vllm").at(version)
    assert vllm_nodes.by_number(options) == by_number
    assert vllm_nodes.by_copies(options, Parallel(dp=16, nnodes=2)) == by_copies
    assert not vllm_nodes.by_copies(options, Parallel(tp=16, dp=2, nnodes=4))


CONFIGURED = """
import json, sys
import vllm
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
for line in sys.stdin:
    words = json.loads(line)
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    args.model = args.model_tag
    engine = vllm.AsyncEngineArgs.from_cli_args(args)
    got = engine.create_engine_config(UsageContext.OPENAI_API_SERVER, headless="--headless" in words).parallel_config
    sizes = [got.data_parallel_rank, got.data_parallel_size_local, got.nnodes_within_dp, got.world_size]
    print("GOT", json.dumps([*sizes, got.data_parallel_master_ip]), flush=True)
"""
TINY = CHECKOUT / ".cache/models/tiny"


@pytest.mark.engine
@pytest.mark.skipif(
    "FULLRANK_VLLM_PYTHON" not in os.environ, reason="no interpreter of an environment with vLLM is named"
)
@pytest.mark.skipif(not TINY.exists(), reason="no small model was made (make engines)")
def test_vllm_itself_works_out_the_same_copies() -> None:
    """On its CPU build, 0.27 or newer, up to the point where it would load the model."""
    lines, expected = [], []
    layouts = [(1, 2, 2, {}), (1, 4, 2, {}), (2, 2, 4, EXPERTS), (2, 2, 2, {}), (2, 2, 4, DENSE), (4, 2, 8, DENSE)]
    for tp, dp, nnodes, model in layouts:
        for rank in range(nnodes):
            sizes = {
                "tensor_parallel_size": tp,
                "data_parallel_size": dp,
                "nnodes": nnodes,
                "head_address": "192.0.2.10",
                "rank_addresses": [f"192.0.2.{10 + number}" for number in range(nnodes)],
                "model_info": model,
            }
            more = {"enforce_eager": True, "max_model_len": 256, "enable_expert_parallel": False}
            rendered = launch("0.32.0", rank, more, model=str(TINY), device="cpu", gpus_per_node=None, **sizes)
            meant = Parallel(tp=tp, dp=dp, nnodes=nnodes)
            lines.append(json.dumps(rendered["engine_argv"][2:]))
            joins = model is DENSE and rank % meant.nodes_per_copy > 0
            # who joins a dense copy knows of no other: its data parallel rank is that of a single one
            copy, head = (0, "127.0.0.1") if joins else (meant.first_copy(rank), "192.0.2.10")
            expected.append([copy, meant.copies_per_node, meant.nodes_per_copy, tp, head])
    program = [os.environ["FULLRANK_VLLM_PYTHON"], "-c", CONFIGURED]
    done = subprocess.run(program, input="\n".join(lines), capture_output=True, text=True, check=False, timeout=500)
    got = [json.loads(line.removeprefix("GOT ")) for line in done.stdout.splitlines() if line.startswith("GOT ")]
    assert got == expected, done.stderr[-2000:]
