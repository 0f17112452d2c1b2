# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model converted on a node: what the engine's libraries make of it, and what a second run does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testinfra.host import Host

PLAYBOOK = "molecule/model_convert/converge.yml"
CHECKOUT = Path(__file__).resolve().parents[3]
FP8, BF16 = "/var/lib/models/tiny-fp8", "/var/lib/models/tiny-bf16"
PYTHON = "/opt/fullrank/vllm/bin/python"


def sums(node: Host, folder: str) -> str:
    return str(node.check_output(f"cd {folder} && find . -type f -print0 | sort -z | xargs -0 sha256sum"))


def test_the_engine_s_library_computes_the_same(node: Host) -> None:
    script = (CHECKOUT / "tests/engines/fp8_model.py").read_text()
    node.run_expect([0], "cat > /root/fp8_model.py <<'EOF'\n" + script + "\nEOF")
    output = node.check_output(f"{PYTHON} /root/fp8_model.py compare /srv/models/tiny {FP8} {BF16} 2>/dev/null")
    answer = json.loads(output.splitlines()[-1])
    assert answer["equal"] and answer["same_tokens"]
    assert 0 < answer["to_original"] < 0.2 * answer["size"]  # quantization costs something, and not everything


def test_nothing_of_fp8_is_left(node: Host) -> None:
    config = json.loads(node.file(f"{BF16}/config.json").content)
    assert "quantization_config" not in config and config["dtype"] == "bfloat16"
    index = json.loads(node.file(f"{BF16}/model.safetensors.index.json").content)
    assert not [name for name in index["weight_map"] if "scale" in name]
    assert not node.file(f"{BF16}/.fullrank/partial/convert").exists


def test_a_second_run_changes_nothing(node: Host, play: Callable[..., Any]) -> None:
    before = sums(node, BF16)
    second = play(PLAYBOOK)
    assert second.rc == 0 and second.changed == 0
    assert sums(node, BF16) == before
    checked = play(PLAYBOOK, "--check", "--diff")
    assert checked.rc == 0 and checked.changed == 0


def test_what_is_missing_is_made_again_and_nothing_else(node: Host, play: Callable[..., Any]) -> None:
    before = sums(node, BF16)
    inode = node.check_output(f"stat -c %i {BF16}/model-00002-of-00002.safetensors")
    node.run_expect([0], f"rm {BF16}/model-00001-of-00002.safetensors")
    checked = play(PLAYBOOK, "--check")
    assert checked.changed and not node.file(f"{BF16}/model-00001-of-00002.safetensors").exists
    assert play(PLAYBOOK).rc == 0
    assert sums(node, BF16) == before
    assert node.check_output(f"stat -c %i {BF16}/model-00002-of-00002.safetensors") == inode


def test_what_was_fetched_may_go_when_it_was_converted(node: Host, play: Callable[..., Any]) -> None:
    before = sums(node, BF16)
    node.run_expect([0], f"mv {FP8} {FP8}-kept")
    try:
        for arguments in ((), ("--check", "--diff")):
            run = play(PLAYBOOK, *arguments)
            assert (run.rc, run.changed) == (0, 0)
        assert not node.file(FP8).exists and sums(node, BF16) == before
        other = play(PLAYBOOK, "--check", model_revision="2" * 40)
        assert other.rc == 0 and other.changed
    finally:
        node.run_expect([0], f"mv {FP8}-kept {FP8}")


def test_nodes_that_share_a_folder_convert_a_share_each(
    node: Host, nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    """By a network file system: n2 sees a folder of node."""
    options = {
        "which": "sharing",
        "model_fetch_path": "/srv/shared/tiny-fp8",
        "model_path": "/srv/shared/tiny-bf16",
        "model_convert_shared": True,
        "model_distribute": "shared",
    }
    run = play(PLAYBOOK, **options)
    assert run.rc == 0, run.text
    shares = {
        event["event_data"]["host"]: event["event_data"]["res"]["converted"]
        for event in run.events
        if event["event"] == "runner_on_ok" and "each node's share" in event["event_data"]["task"]
    }
    assert sorted(map(len, shares.values())) == [1, 1] and shares["n1"] != shares["n2"]
    assert sums(node, "/srv/shared/tiny-bf16") == sums(nodes["n2"], "/srv/shared/tiny-bf16") == sums(node, BF16)
    assert play(PLAYBOOK, **options).changed == 0


def test_in_an_image_it_gives_the_same_bytes_and_leaves_no_container(node: Host, play: Callable[..., Any]) -> None:
    other = "/var/lib/models/made-in-an-image"
    options = {
        "model_path": other,
        "model_convert_image": "fullrank/engine:test",
        "model_convert_python": "python",  # which only the image's PATH leads to
        "model_convert_container_args": ["--volume", "/opt/fullrank:/opt/fullrank:ro"],
    }
    checked = play(PLAYBOOK, "--check", **options)
    assert checked.rc == 0 and checked.changed and not node.file(other).exists
    run = play(PLAYBOOK, **options)
    assert run.rc == 0, run.text
    assert sums(node, other) == sums(node, BF16)
    assert node.check_output("docker ps --all --quiet") == ""
    assert play(PLAYBOOK, **options).changed == 0


def test_what_an_image_lacks_is_reported(node: Host, play: Callable[..., Any]) -> None:
    options = {"model_path": "/var/lib/models/other", "model_convert_image": "fullrank/engine:test"}
    run = play(PLAYBOOK, **options, model_convert_python="/usr/bin/python3")
    assert run.rc and "No module named 'torch'" in run.text
    assert node.check_output("docker ps --all --quiet") == ""


def test_a_program_that_cannot_run_is_named_once(node: Host, play: Callable[..., Any]) -> None:
    failed = play(PLAYBOOK, model_path="/var/lib/models/other", model_convert_python="/usr/bin/python3")
    assert failed.rc and "No module named 'torch'" in failed.text
    assert (
        "/nowhere/python is not there"
        in play(PLAYBOOK, model_path="/var/lib/models/other", model_convert_python="/nowhere/python").text
    )


def test_without_gpus_it_is_not_needed(play: Callable[..., Any]) -> None:
    refused = play(PLAYBOOK, model_path="/var/lib/models/unneeded", model_convert_when="auto")
    assert refused.rc and "there are no GPUs without FP8" in refused.text
