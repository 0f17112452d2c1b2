# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any input: no exception, no variable without a reason, nothing invalid passed in silence."""

from __future__ import annotations

import string
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.profile import NEVER_SET
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import VARIABLES, Variable
from hypothesis import given, settings
from hypothesis import strategies as st
from nccl_machines import machine

SCALARS = st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=12)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PORTS = st.lists(
    st.fixed_dictionaries(
        {
            "hca": st.sampled_from([f"mlx5_{i}" for i in range(12)] + ["ibp0", "rocep1s0f1"]),
            "rate": st.sampled_from([25, 100, 200, 400]),
        },
        optional={
            "layer": st.sampled_from(["Ethernet", "InfiniBand", "Unspecified"]),
            "gpu": st.integers(0, 3),
            "state": st.sampled_from(["ACTIVE", "DOWN", "INIT"]),
            "default_route": st.booleans(),
            "vf": st.booleans(),
            "ipv6": st.booleans(),
            "no_address": st.booleans(),
            "gid_at": st.integers(3, 6),
        },
    ),
    max_size=6,
    # a node's devices have different names
    unique_by=lambda port: str(port["hca"]),
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "nccl_version": st.sampled_from(["2.18.3", "2.21.5", "2.25.1", "2.30.4", None, "no"]) | SCALARS,
        "exclude_hcas": st.lists(st.sampled_from(["mlx5_0", "mlx5_1:1"])) | ANYTHING,
        "include_hcas": st.lists(st.sampled_from(["mlx5_2", "ibp0"]), max_size=1),
        "companions": st.lists(st.sampled_from(["ucx", "nvshmem"])) | ANYTHING,
        "gate_run": st.booleans(),
        "engine": st.sampled_from(["vllm", "sglang", "lmdeploy"]) | SCALARS,
        "runtime": st.just({"container": True, "sys_nice": False}) | ANYTHING,
        "user_env": st.dictionaries(st.sampled_from(sorted(VARIABLES)), SCALARS, max_size=4) | ANYTHING,
        "site_profile": st.fixed_dictionaries(
            {"name": st.just("p"), "source": st.just("s"), "fabric": st.sampled_from(["roce", "infiniband", "efa"])},
            optional={"env": st.dictionaries(st.sampled_from(sorted(VARIABLES)), SCALARS, max_size=4) | ANYTHING},
        )
        | ANYTHING,
    },
)


@st.composite
def fact_trees(draw: st.DrawFn) -> dict[str, Any]:
    """A machine, with some facts of it replaced by anything."""
    facts = machine(draw(PORTS), draw(st.integers(0, 3)), gpus=draw(st.integers(0, 4)))
    for key in draw(st.sets(st.sampled_from([*facts, "topology", "vendor_scripts", "nccl_version"]), max_size=2)):
        facts[key] = draw(ANYTHING)
    for hca in facts["hcas"] if isinstance(facts["hcas"], list) else []:
        if isinstance(hca, dict) and hca and draw(st.booleans()):
            hca[draw(st.sampled_from(sorted(hca)))] = draw(ANYTHING)
    return facts


def check(result: dict[str, Any], policy: Any) -> None:
    user = policy.get("user_env") if isinstance(policy, dict) else None
    for rank in result["ranks"].values():
        assert rank["env"].keys() == rank["reasons"].keys()
        assert not rank["env"].keys() & rank["unset"].keys()
        assert all(isinstance(v, str) for v in rank["env"].values())
        assert all([*rank["reasons"].values(), *rank["unset"].values()])
        assert not rank["env"].keys() & NEVER_SET.keys() - set(user if isinstance(user, dict) else ())
    for finding in result["findings"]:
        assert finding.keys() == {"severity", "code", "where", "message", "remedy", "data"}
        assert finding["severity"] in ("fail", "warn", "info")


@settings(max_examples=60, deadline=None)
@given(trees=st.lists(fact_trees(), max_size=3), policy=POLICIES)
def test_any_machines_and_policy(trees: list[dict[str, Any]], policy: dict[str, Any]) -> None:
    check(nccl_env({f"node{i}": tree for i, tree in enumerate(trees)}, policy), policy)


@settings(max_examples=60, deadline=None)
@given(facts=st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3) | ANYTHING, policy=ANYTHING)
def test_any_tree_at_all(facts: Any, policy: Any) -> None:
    check(nccl_env(facts, policy), policy)


@settings(max_examples=40, deadline=None)
@given(trees=st.lists(fact_trees(), min_size=1, max_size=2), version=st.sampled_from(["2.18.3", "2.21.5", "2.30.4"]))
def test_what_we_derive_passes_our_own_lint(trees: list[dict[str, Any]], version: str) -> None:
    facts = {f"node{i}": tree for i, tree in enumerate(trees)}
    result = nccl_env(facts, {"nccl_version": version})
    for host, rank in result["ranks"].items():
        lint = nccl_lint(rank["env"], {"facts": {**facts[host], "netdevs": []}, "nccl_version": version})
        assert [f for f in lint if f["severity"] == "fail"] == []


@settings(max_examples=40, deadline=None)
@given(env=st.dictionaries(st.sampled_from(sorted(VARIABLES)) | st.text(max_size=8), ANYTHING, max_size=4) | ANYTHING)
def test_the_lint_takes_anything(env: Any) -> None:
    for finding in nccl_lint(env, {"facts": machine([{"hca": "mlx5_0..mlx5_10", "rate": 200}])}):
        assert finding["message"] and finding["remedy"]


NUMBERS = [v for v in VARIABLES.values() if v.is_integer]
WORDS = [v for v in VARIABLES.values() if v.choices and v.grammar != "level"]


def failed(name: str, value: Any) -> bool:
    return any(f["severity"] == "fail" and f["where"] == f"env.{name}" for f in nccl_lint({name: value}))


@pytest.mark.parametrize("variable", NUMBERS, ids=lambda v: v.name)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_numbers_outside_the_documented_range_fail(variable: Variable, data: st.DataObject) -> None:
    low, high = variable.low, variable.high
    assert low is not None
    outside = st.integers(max_value=low - 1)
    outside = outside | st.integers(min_value=high + 1) if high is not None else outside
    outside = outside.filter(lambda n: n != variable.unset)
    words = st.text(string.ascii_letters + " .,", min_size=1, max_size=8)
    assert failed(variable.name, data.draw(outside | words.map(lambda w: f"{w}!")))
    inside = data.draw(st.integers(low, min(high, low + 31) if high is not None else low + 1000))
    assert not failed(variable.name, inside)


@pytest.mark.parametrize("variable", WORDS, ids=lambda v: v.name)
@settings(max_examples=4, deadline=None)
@given(word=st.text(string.ascii_uppercase + "_", max_size=8))
def test_words_that_are_not_documented_fail(variable: Variable, word: str) -> None:
    assert failed(variable.name, word) == (word not in variable.choices)
    assert failed(variable.name, word.lower()) == ((word if variable.fold else word.lower()) not in variable.choices)
    assert not any(failed(variable.name, choice) for choice in variable.choices)


# lists as people write and miswrite them
ENTRIES = st.sampled_from(
    ["mlx5_0", "mlx5_1", "mlx5_10", "mlx5", "ibp0", "eth0", "lo", "lom0", "docker0", "br-ex", "10.0.0.1"]
)
MARKS = st.sampled_from(["", "=", "^", "^=", "==", "=^", " ", "'"])
TAILS = st.sampled_from(["", ":1", ":0", ":2", "/1", "[0-3]", "_[0-3]", "*", "::0:1", "-3", "@if5", " "])
LISTS = st.builds(
    lambda first, parts, between: first + between.join(mark + entry + tail for mark, entry, tail in parts),
    MARKS,
    st.lists(st.tuples(MARKS, ENTRIES, TAILS), max_size=4),
    st.sampled_from([",", ",", ", ", ";", " ", "|", ",,"]),
)
DEVICE_LISTS = st.dictionaries(
    st.sampled_from(["NCCL_IB_HCA", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME"]), LISTS, min_size=1
)
VALUES = st.dictionaries(
    st.sampled_from(sorted(VARIABLES)), SCALARS.filter(lambda v: not isinstance(v, bool)), max_size=3
)


@settings(max_examples=300, deadline=None)
@given(
    env=st.builds(lambda a, b: {**a, **b}, VALUES, DEVICE_LISTS),
    version=st.sampled_from(["2.18.3", "2.21.5", "2.30.7", None]),
    peers=st.sampled_from([None, [], ["192.168.5.9"]]),
    known=st.booleans(),
)
def test_every_remedy_with_a_value_is_accepted(
    env: dict[str, Any], version: str | None, peers: list[str] | None, known: bool
) -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_10", "rate": 200}]) if known else {}
    context = {"nccl_version": version, "facts": facts, "peers": peers}
    for found in nccl_lint(env, context):
        for name, value in found["data"].get("env", {}).items():
            mended = {k: v for k, v in {**env, name: value}.items() if v is not None}
            after = [f for f in nccl_lint(mended, context) if f["where"] == f"env.{name}"]
            assert [f for f in after if f["severity"] == "fail" or f["code"] == found["code"]] == []
            if value is not None and found["code"] in ("invalid-list", "prefix-trap", "prefix-match", "no-such-port"):
                assert value in found["remedy"]


@settings(max_examples=60, deadline=None)
@given(trees=st.lists(fact_trees(), min_size=2, max_size=2), env=DEVICE_LISTS)
def test_what_the_remedies_name_in_an_environment_is_accepted(trees: list[dict[str, Any]], env: dict[str, Any]) -> None:
    """exclude_hcas of a finding about GIDs is a list that the policy takes, and after it the port is not used."""
    facts = {f"node{i}": tree for i, tree in enumerate(trees)}
    found = nccl_env(facts, {"nccl_version": "2.27.3", "user_env": {"NCCL_IB_GID_INDEX": 3, **env}})["findings"]
    for one in found:
        if one["code"] in ("gid-missing", "gid-pin-absent") and "into exclude_hcas" in one["remedy"]:
            ports = one["remedy"].removeprefix("put ").partition(" into ")[0].split(", ")
            again = nccl_env(facts, {"nccl_version": "2.27.3", "exclude_hcas": ports})
            assert "policy-invalid" not in {f["code"] for f in again["findings"]}
            assert not any(p in f["message"] for f in again["findings"] for p in ports if f["code"] == "gid-missing")
