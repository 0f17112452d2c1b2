# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that brings weights, on a deployment of two nodes: asked once, sent once, and nothing at all the second time."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from helpers import NET
from testinfra.host import Host

PLAYBOOK = "playbooks/weights.yml"
HUB = f"http://{NET}.1:8099"
PATH = "/data/models/m-1111111"


def request_count() -> int:
    """Requests that came to the hubs and the index so far."""
    with urllib.request.urlopen(f"{HUB}/_log", timeout=10) as answer:
        return len(json.load(answer)["log"])


def manifest(node: Host, path: str) -> str:
    """What names the weights of a node; everything that it lists is compared first."""
    assert node.file(f"{path}/.fullrank/READY").content_string.strip() == node.check_output(
        "sha256sum < %s/.fullrank/manifest.json | cut -d' ' -f1", path
    )
    for one in json.loads(node.file(f"{path}/.fullrank/manifest.json").content)["files"]:
        assert node.check_output("sha256sum %s", f"{path}/{one['path']}").split()[0] == one["sha256"]
    return node.file(f"{path}/.fullrank/READY").content_string


def test_one_node_asked_the_hub_and_both_have_the_same(nodes: dict[str, Host]) -> None:
    assert manifest(nodes["n1"], PATH) == manifest(nodes["n2"], PATH)
    assert nodes["n1"].file("/opt/fullrank-modelscope").exists
    assert not nodes["n2"].file("/opt/fullrank-modelscope").exists


def test_nothing_of_the_work_is_left(nodes: dict[str, Host]) -> None:
    for node in nodes.values():
        assert not node.file(f"{PATH}/.fullrank/partial").exists
        assert node.check_output("systemctl list-units --all --plain --no-legend 'fullrank-*'") == ""


def test_a_second_run_changes_nothing_and_sends_no_request(play: Callable[..., Any]) -> None:
    before = request_count()
    for arguments in ((), ("--check", "--diff")):
        run = play(PLAYBOOK, *arguments)
        assert (run.rc, run.changed) == (0, 0)
    assert request_count() == before


@pytest.mark.parametrize("hub", ["modelscope", "path"])
def test_check_mode_before_the_first_run_reports_what_would_come_and_leaves_the_nodes_alone(
    play: Callable[..., Any], nodes: dict[str, Host], hub: str
) -> None:
    before = request_count()
    options = {"model_hub": hub} | ({"model_repo": PATH, "model_revision": ""} if hub == "path" else {})
    run = play(PLAYBOOK, "--check", "--diff", engine_model="/data/models/other", **options)
    assert run.rc == 0
    assert set(run.stats["changed"]) == {"n1", "n2"}
    assert request_count() == before
    for node in nodes.values():
        assert not node.file("/data/models/other").exists


def test_the_first_check_of_the_engines_does_not_miss_weights_that_are_still_to_come(play: Callable[..., Any]) -> None:
    run = play("playbooks/engines.yml", "--check", engine_model="/data/models/other")
    assert "/data/models/other" not in "".join(
        str(event["event_data"].get("res", {}).get("msg", ""))
        for event in run.events
        if event["event"] == "runner_on_failed"
    )
    run = play("playbooks/engines.yml", engine_model="/data/models/other")
    assert run.rc != 0 and "/data/models/other" in run.text


def test_from_a_folder_of_the_first_node(play: Callable[..., Any], nodes: dict[str, Host]) -> None:
    """Which the other node does not see."""
    nodes["n1"].check_output("mkdir /data/folder && cp %s/config.json %s/model-* /data/folder", PATH, PATH)
    options = {
        "engine_model": "/data/models/from-path",
        "model_hub": "path",
        "model_repo": "/data/folder",
        "model_revision": "",
    }
    before = request_count()
    assert play(PLAYBOOK, **options).rc == 0
    assert manifest(nodes["n1"], "/data/models/from-path") == manifest(nodes["n2"], "/data/models/from-path")
    run = play(PLAYBOOK, **options)
    assert (run.rc, run.changed) == (0, 0)
    assert request_count() == before


def test_a_copy_that_is_lost_on_one_node_comes_from_the_other(play: Callable[..., Any], nodes: dict[str, Host]) -> None:
    before = request_count()
    nodes["n2"].check_output("rm -r %s", PATH)
    assert play(PLAYBOOK).rc == 0
    assert manifest(nodes["n1"], PATH) == manifest(nodes["n2"], PATH)
    assert request_count() == before
