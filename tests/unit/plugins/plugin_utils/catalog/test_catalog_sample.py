# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog's rules on a sample small enough to check by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog, argument_parser, to_argv
from places import DATA

SAMPLE = json.loads((DATA / "catalog/sample.json").read_text())


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.from_data("sample", SAMPLE)


ACCEPTED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("2.0.0", {"tp_size": 8}, ["--tensor-parallel-size", "8"]),
    ("2.0.0", {"tensor-parallel-size": "8"}, ["--tensor-parallel-size", "8"]),
    ("2.0.0", {"--tp-size": 8.0}, ["--tensor-parallel-size", "8"]),
    ("2.0.0", {"-t": 8}, ["--tensor-parallel-size", "8"]),
    ("2.0.0", {"nccl_init_addr": "10.0.0.1:5000"}, ["--dist-init-addr", "10.0.0.1:5000"]),
    ("2.0.0", {"disable_radix_cache": True}, ["--disable-radix-cache"]),
    ("2.0.0", {"disable_radix_cache": "yes"}, ["--disable-radix-cache"]),
    ("2.0.0", {"disable_radix_cache": False}, []),
    ("2.0.0", {"enable_prefix_caching": True}, ["--enable-prefix-caching"]),
    ("2.0.0", {"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
    ("2.0.0", {"no_enable_prefix_caching": "true"}, ["--no-enable-prefix-caching"]),
    ("2.0.0", {"enable_prefix_caching": None, "never_heard_of": None}, []),
    ("2.0.0", {"random_seed": -1}, ["--random-seed=-1"]),
    ("2.0.0", {"mem_fraction_static": 1}, ["--mem-fraction-static", "1.0"]),
    ("2.0.0", {"max_model_len": "32k"}, ["--max-model-len", "32k"]),
    ("2.0.0", {"cuda_graph_bs": [1, 2, 4]}, ["--cuda-graph-bs", "1", "2", "4"]),
    ("2.0.0", {"cuda_graph_bs": 4}, ["--cuda-graph-bs", "4"]),
    ("2.0.0", {"middleware": ["a.b", "c.d"]}, ["--middleware", "a.b", "--middleware", "c.d"]),
    ("2.0.0", {"speculative_config": {"model": "x y", "n": 3}}, ["--speculative-config", '{"model":"x y","n":3}']),
    ("2.0.0", {"speculative_config": '{ "n": 3 }'}, ["--speculative-config", '{"n":3}']),
    ("2.0.0", {"json_model_override_args": {"a": 1}}, ["--json-model-override-args", '{"a":1}']),
    ("2.0.0", {"json_model_override_args": '{ "a": 1 }'}, ["--json-model-override-args", '{ "a": 1 }']),
    ("2.0.0", {"enable_sleep_mode": False}, ["--disable-sleep-mode"]),
    ("2.0.0", {"disable_sleep_mode": False}, ["--enable-sleep-mode"]),
    (
        "2.0.0",
        {"prefill": [["http://a", 9001], "http://b"]},
        ["--prefill", "http://a", "9001", "--prefill", "http://b"],
    ),
]


@pytest.mark.parametrize(("version", "args", "argv"), ACCEPTED)
def test_accepted(catalog: Catalog, version: str, args: dict[str, Any], argv: list[str]) -> None:
    at = catalog.at(version)
    checked = at.check(args, "engine_args")
    assert checked.findings == []
    assert to_argv(checked.options) == argv
    assert vars(argument_parser(at).parse_args(argv)) == {option.key: value for option, value in checked.options}


# version, args, "severity: code", words of the finding, argv
FINDINGS: list[tuple[str, dict[str, Any], str, list[str], list[str]]] = [
    ("1.0.0", {"file_store": "/x"}, "warn: option-renamed", ["--file-storage-pth"], ["--file-storage-pth", "/x"]),
    ("1.1.0", {"file_store": "/x"}, "warn: option-renamed", ["--file-storage-path"], ["--file-storage-path", "/x"]),
    ("1.1.0", {"file_storage_pth": "/x"}, "warn: option-renamed", ["1.0.0"], ["--file-storage-path", "/x"]),
    (
        "1.1.0",
        {"enable_flashinfer_mla": True},
        "warn: option-renamed",
        ["refuses"],
        ["--attention-backend", "flashinfer"],
    ),
    ("1.2.0", {"enable_flashinfer_mla": "no"}, "warn: option-renamed", ["nothing"], []),
    (
        "1.2.0",
        {"no_enable_pre": True},
        "warn: option-abbreviated",
        ["no_enable_prefix_caching"],
        ["--no-enable-prefix-caching"],
    ),
    ("1.2.0", {"enable_flashinfer_mla": False}, "warn: option-renamed", [], []),
    ("1.1.0", {"enable_ep_moe": True}, "warn: option-deprecated", ["tp_size"], ["--enable-ep-moe"]),
    ("1.2.0", {"enable_ep_moe": True}, "fail: option-removed", ["refuses", "tp_size"], []),
    ("2.0.0", {"enable_ep_moe": True}, "fail: option-removed", ["last in 1.2.0", "tp_size"], []),
    ("2.0.0", {"disable_mla": True}, "fail: option-removed", ["last in 1.1.0", "leave it out"], []),
    ("1.0.0", {"file_storage_path": "/x"}, "fail: option-too-new", ["1.1.0", "--file-storage-pth"], []),
    ("1.2.0", {"pp_size": 2}, "fail: option-too-new", ["use version 2.0.0"], []),
    ("1.2.0", {"tp": 2}, "warn: option-abbreviated", ["tensor_parallel_size"], ["--tensor-parallel-size", "2"]),
    ("2.0.0", {"tp": 2}, "fail: option-unknown", ["--tensor-parallel-size", "--tpu-cores"], []),
    ("2.0.0", {"flash_attn": True}, "fail: option-unknown", ["attention_backend"], []),
    ("2.0.0", {"tensor_paralel_size": 2}, "fail: option-unknown", ["nearest: --tensor-parallel-size"], []),
    (
        "2.0.0",
        {"tp_size": 2, "tensor_parallel_size": 4},
        "fail: option-set-twice",
        [],
        ["--tensor-parallel-size", "2"],
    ),
    ("1.1.0", {"attention_backend": "fa3"}, "fail: option-choice", ["flashinfer, triton"], []),
    ("2.0.0", {"tp_size": "many"}, "fail: option-type", ["int"], []),
    ("2.0.0", {"tp_size": True}, "fail: option-type", ["int"], []),
    ("2.0.0", {"disable_radix_cache": 3}, "fail: option-type", ["true or false"], []),
    ("2.0.0", {"cuda_graph_bs": []}, "fail: option-type", ["one value or more"], []),
    ("2.0.0", {"speculative_config": "{"}, "fail: option-type", ["json"], []),
]


@pytest.mark.parametrize("case", FINDINGS)
def test_finding(catalog: Catalog, case: tuple[str, dict[str, Any], str, list[str], list[str]]) -> None:
    version, args, severity_and_code, mentions, argv = case
    checked = catalog.at(version).check(args, "engine_args")
    (found,) = checked.findings
    assert f"{found['severity']}: {found['code']}" == severity_and_code
    assert found["where"] == f"engine_args.{list(args)[-1]}"
    for words in mentions:
        assert words in found["message"] + " " + found["remedy"]
    assert to_argv(checked.options) == argv


def test_all_findings_come_at_once(catalog: Catalog) -> None:
    checked = catalog.at("2.0.0").check({"tp_size": "x", "nonsense": 1, "disable_mla": True, "random_seed": 7}, "v")
    assert [f["code"] for f in checked.findings] == ["option-type", "option-unknown", "option-removed"]
    assert to_argv(checked.options) == ["--random-seed", "7"]


@pytest.mark.parametrize(
    ("requested", "used", "code", "severity"),
    [
        ("1.1.0.post1", "1.1.0.post1", "", ""),
        ("v1.2.0+cu124", "1.2.0", "", ""),
        ("2.1.0", "2.0.0", "engine-version-newer", "warn"),
        ("1.1.5", "1.1.0.post1", "engine-version-unknown", "warn"),
        ("0.9", "1.0.0", "engine-version-too-old", "fail"),
        ("latest", "2.0.0", "engine-version-unreadable", "fail"),
    ],
)
def test_versions(catalog: Catalog, requested: str, used: str, code: str, severity: str) -> None:
    at = catalog.at(requested)
    assert (at.version, at.requested, at.exact) == (used, requested, not code)
    assert [(f["code"], f["severity"]) for f in at.findings] == ([(code, severity)] if code else [])


def test_history(catalog: Catalog) -> None:
    gone = catalog.history("file_storage_pth")
    assert (gone.since, gone.until, gone.successor) == ("1.0.0", "1.0.0", "--file-storage-path")
    here = catalog.history("--tp-size")
    assert (here.since, here.until, here.successor) == ("1.0.0", "", "")
    assert catalog.history("--flash-attn").since == ""


def test_lookup(catalog: Catalog) -> None:
    at = catalog.at("1.0.0")
    names = ["tp_size", "--tp-size", "tensor-parallel-size", "-t", "t"]
    assert {at.lookup(name) for name in names} == {at.lookup("--tensor-parallel-size")}
    assert at.lookup("pp_size") is None
