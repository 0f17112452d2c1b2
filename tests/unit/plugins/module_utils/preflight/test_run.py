# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of one node: a good one passes them all, each planted fault is found, ten at once too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preflight_node as node
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import findings
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import run
from hypothesis import given, settings
from hypothesis import strategies as st
from preflight_faults import FAULTS


def test_the_good_node_passes_everything(root: Path) -> None:
    answer = node.ask(root)
    assert [check for check in answer["checks"] if check["severity"] != "pass"] == []
    assert answer["node"]["versions"] == {"vllm": "0.9.0", "nvidia_nccl_cu12": "2.26.2"}
    assert answer["node"]["mtu"] == 1500
    assert answer["node"]["image_id"] == "sha256:aa"
    json.dumps(answer)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_with_its_remedy(name: str, root: Path) -> None:
    id, status, part, plant = FAULTS[name]
    wanted = node.wanted()
    plant(root, wanted)
    answer = run.run(Host(str(root)), wanted)
    found = [check for check in answer["checks"] if (check["code"], check["severity"]) == (id, status)]
    assert found, f"{id} does not say {status}"
    assert part in f"{found[0]['message']} {found[0]['remedy']}"
    assert found[0]["remedy"]
    assert found[0]["where"]


def test_ten_faults_are_found_in_one_run(root: Path) -> None:
    names = (
        "full disk",
        "wrong MTU",
        "no engine",
        "port taken",
        "cut link",
        "no headers",
        "memlock",
        "fabric in progress",
        "lost GPU",
        "GPU memory in use",
    )
    # one nvidia-smi has both of the last three: seven GPUs of a fabric in progress, in use
    wanted = node.wanted()
    for name in names:
        FAULTS[name][3](root, wanted)
    node.gpus(root, count=7, product="h200", fabric="In Progress", used_mib=60000, processes=((99, "python", 59990),))
    failed = {check["code"] for check in run.run(Host(str(root)), wanted)["checks"] if check["severity"] == "fail"}
    assert {FAULTS[name][0] for name in names} <= failed


def test_a_bare_node_of_which_nothing_is_wanted_gives_skips_only(tmp_path: Path) -> None:
    nothing = {name: option.get("default") for name, option in node.OPTIONS.items()}
    answer = run.run(Host(str(tmp_path)), {**nothing, "os_supported": []})
    assert {check["severity"] for check in answer["checks"]} <= {"skipped", "pass"}


def test_a_check_that_stumbles_does_not_stop_the_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_os(host: Host, wanted: dict[str, Any]) -> list[findings.Finding]:
        raise KeyError("unheard of")

    monkeypatch.setattr(run, "SYSTEM", (check_os, *run.SYSTEM[1:]))
    (trouble,) = node.trouble(node.ask(root))
    assert (trouble["code"], trouble["severity"]) == ("os", "warn")
    assert "unheard of" in trouble["message"]


@settings(max_examples=8, deadline=None)
@given(st.sets(st.sampled_from(sorted(FAULTS)), max_size=6))
def test_any_mix_of_faults_is_answered_check_by_check(names: set[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root, wanted = node.lay_out(Path(folder)), node.wanted()
        for name in sorted(names):
            FAULTS[name][3](root, wanted)
        answer = run.run(Host(folder), wanted)
    json.dumps(answer)
    for check in answer["checks"]:
        assert check["severity"] in findings.SEVERITIES
        assert check["message"] and check["where"]
        assert bool(check["remedy"]) == (check["severity"] in ("fail", "warn"))
        assert "the check itself failed" not in check["message"]
