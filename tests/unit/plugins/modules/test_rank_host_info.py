# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `rank_host_info`, with a stand-in of iproute2 and a recorded node."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import preflight_node
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import rank_host_info
from module_runner import call, calls, program

IP = """
case "$*" in
    "-json route get 192.0.2.11"|"-json route get 192.0.2.12") echo '[{"dev": "eth0", "prefsrc": "192.0.2.10"}]' ;;
    "-json route get 198.51.100.1") echo '[{"dev": "eth1", "prefsrc": "198.51.100.10"}]' ;;
    "-json address show") echo '[{"ifname": "eth1", "addr_info": [{"family": "inet", "local": "198.51.100.10"}]}]' ;;
    *) echo "RTNETLINK answers: Network is unreachable" >&2; exit 2 ;;
esac
"""
ETH0 = {"interface": "eth0", "address": "192.0.2.10"}
ETH1 = {"interface": "eth1", "address": "198.51.100.10"}


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The root of the node, whose programs are in ``bin``."""
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "ip", IP)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(rank_host_info, "Host", lambda: Host(str(tmp_path)))
    monkeypatch.setattr(names, "CONFIG", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("peers", "candidates", "without_route"),
    [
        ([], [], []),
        (["192.0.2.11", "192.0.2.12"], [ETH0], []),
        (["192.0.2.11", "198.51.100.1"], [ETH0, ETH1], []),
        (["192.0.2.11", "203.0.113.1"], [ETH0], ["203.0.113.1"]),
        (["no-such-node.invalid"], [], ["no-such-node.invalid"]),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_the_interface_towards_the_peers(
    peers: list[str], candidates: list[dict[str, str]], without_route: list[str], check_mode: bool
) -> None:
    facts = call(rank_host_info, peers=peers, check_mode=check_mode)
    assert facts["changed"] is False and "failed" not in facts
    assert (facts["candidates"], facts["without_route"]) == (candidates, without_route)


def test_a_network_decides_whatever_the_routes_are() -> None:
    facts = call(rank_host_info, peers=["192.0.2.11"], network="198.51.100.0/24")
    assert facts["candidates"] == [ETH1]


def test_a_network_that_is_none_is_refused_with_an_example() -> None:
    facts = call(rank_host_info, peers=["192.0.2.11"], network="198.51.100.7/24")
    assert facts["failed"] and facts["msg"].startswith("network: ") and "e.g. 10.0.0.0/24" in facts["msg"]


def test_ports_that_are_in_use_and_files_that_are_missing(node: Path) -> None:
    preflight_node.listen(node, 8000)
    (node / "config.json").write_text("{}")
    paths = [str(node / "config.json"), str(node / "tokenizer.json")]
    facts = call(rank_host_info, peers=[], ports=[8000, 29500], paths=paths)
    assert facts["listeners"] == [{"port": 8000, "pid": 77, "command": "nginx", "unit": "nginx.service"}]
    assert facts["missing"] == [str(node / "tokenizer.json")]


def test_shards_that_no_engine_could_load(node: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    weights = node / "weights"
    weights.mkdir()
    (weights / "model.safetensors.index.json").write_text(json.dumps(index))
    header = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    (weights / "model-00001-of-00002.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    assert call(rank_host_info, peers=[], weights=str(weights))["incomplete"] == ["model-00002-of-00002.safetensors"]
    assert call(rank_host_info, peers=[])["incomplete"] == []


def test_an_address_that_is_not_of_this_node() -> None:
    """An engine could not listen there: 192.0.2.0/24 is for documents (RFC 5737)."""
    here = {
        address: call(rank_host_info, peers=[], serves_at=address)["serves_here"]
        for address in ("", "127.0.0.1", "0.0.0.0")
    }
    assert here == {"": True, "127.0.0.1": True, "0.0.0.0": True}
    assert call(rank_host_info, peers=[], serves_at="192.0.2.77")["serves_here"] is False


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_without_a_key_of_the_group_there_is_no_digest(node: Path, text: str | None) -> None:
    if text is not None:
        Path(names.supervisor_secret("tiny")).write_text(text)
    assert call(rank_host_info, peers=[], deployment="tiny")["group_key_digest"] == ""


def test_the_key_of_the_group_is_compared_and_not_shown(node: Path) -> None:
    Path(names.supervisor_secret("tiny")).write_text(json.dumps({"group_key": "planted", "api_key": "sk-planted"}))
    facts = call(rank_host_info, peers=[], deployment="tiny")
    assert facts["group_key_digest"] == hashlib.sha256(b"planted").hexdigest()[:16]
    assert "planted" not in str({name: value for name, value in facts.items() if name != "invocation"})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing required arguments: peers"),
        ({"peers": [], "ports": ["http"]}, "ports"),
        ({"peers": [], "port": 1}, "Unsupported parameters"),
    ],
)
def test_wrong_arguments_are_refused(node: Path, params: dict[str, Any], message: str) -> None:
    result = call(rank_host_info, **params)
    assert result["failed"] and message in result["msg"]
    assert calls(node / "bin") == []


def test_a_node_without_iproute2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(arg: str, **_others: Any) -> str:
        raise ValueError(f"Failed to find required executable {arg}")

    monkeypatch.setattr("ansible.module_utils.basic.get_bin_path", absent)
    result = call(rank_host_info, peers=["192.0.2.11"])
    assert result["failed"] and "required executable ip" in result["msg"]
