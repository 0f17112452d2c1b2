# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every copy is exact, no other process reads it, nothing is left behind, and nothing is sent twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import NET
from transfers import CHECKOUT, PLAYBOOK, PORT, SIZES, SLICE, TOTAL, Model, in_network, on_the_wire

NODES = ("n1", "n2", "n3", "n4")
RECEIVERS = NODES[1:]


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_nodes(ground: Callable[..., str]) -> Iterator[None]:
    yield
    for node in NODES:
        left = ground("exec", node, "systemctl list-units --all --plain --no-legend 'fullrank-*'; ls -A /run/fullrank")
        assert left.strip() == "", node


def test_every_copy_is_exact_and_the_second_run_changes_nothing(
    play: Callable[..., Any], ground: Callable[..., str]
) -> None:
    sums = {ground("exec", node, "cd /srv/weights/one && sha256sum *.safetensors .fullrank/*") for node in NODES}
    assert len(sums) == 1
    run = play(PLAYBOOK)
    assert (run.rc, run.changed) == (0, 0)
    assert run.stats["skipped"] == dict.fromkeys(NODES, 3)


def test_check_mode_reports_who_would_get_it_and_starts_nothing(play: Callable[..., Any], model: Model) -> None:
    run = play(PLAYBOOK, "--check", model_path=model.path)
    assert (run.rc, run.stats["changed"]) == (0, dict.fromkeys(RECEIVERS, 1))
    assert not any(model.here(node) for node in RECEIVERS)


@pytest.mark.usefixtures("slow")
def test_progress_is_shown_and_the_token_is_nowhere_to_be_seen(model: Model, ground: Callable[..., str]) -> None:
    ground("rate", "n4", "4mbit")  # there is a lot to look at meanwhile
    run = model.start()
    model.wait_for("n4", TOTAL // 4)
    unit = model.on("n2", "ls /run/fullrank | grep -v progress").strip()
    config = json.loads(model.on("n2", f"cat /run/fullrank/{unit}/config.json"))
    modes = model.on("n2", f"stat -c %a /run/fullrank/{unit} /run/fullrank/{unit}/config.json").split()
    assert modes == ["700", "600"]
    assert model.on("n2", "ss -Hltn").count(f"{config['address']}:{config['port']}") == 1
    progress = f"/run/fullrank/{unit}.progress/progress.json"
    seen = model.on("n2", f"systemctl show {unit}; journalctl -u {unit}; cat /proc/[0-9]*/cmdline; cat {progress}")
    sender = f"http://{config['address']}:{config['port']}"
    status = [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        "5",
        f"{sender}/{config['token']}/status",
    ]
    outside = subprocess.run(status, check=False, capture_output=True, text=True).stdout
    inside = model.on("n3", f"curl -s -o /dev/null -w '%{{http_code}}' {sender}/wrong/status")
    code, text = model.end(run)
    assert (code, outside, inside) == (
        0,
        "000",
        "404",
    )  # this machine is none of the nodes; a node without the token is none either
    assert "MB/s" in text and " left, " in text and " files, from n" in text
    assert config["token"] not in seen and config["token"] not in text
    model.assert_everywhere(*RECEIVERS)


def test_a_bit_that_flips_on_the_wire_is_caught_and_its_slice_comes_again(
    model: Model, arrived: Callable[[str], int]
) -> None:
    """A faulty wire between n1 and everybody: what arrives at n1's port passes a stand-in first."""
    net = f"--net=/run/netns/{os.environ.get('GROUND_NAME', 'fr')}-n1"
    address = f"{NET}.11"
    for rule in (
        "table ip flip",
        "chain ip flip in { type nat hook prerouting priority -100 ; }",
        f"rule ip flip in tcp dport {PORT} redirect to :{PORT + 1}",
    ):
        in_network("n1", "nft", "add", *rule.split())
    flip = ["python3", str(Path(__file__).with_name("flip.py")), str(PORT + 1), address, str(PORT), "3"]
    began = int(time.time())
    wire = subprocess.Popen(["nsenter", net, *flip], stdout=subprocess.PIPE, text=True)
    try:
        code, text = model.run()
    finally:
        wire.terminate()
        flipped = wire.communicate()[0].count("flipped")
        in_network("n1", "nft", "delete", "table", "ip", "flip")
    assert (code, flipped) == (0, 3), text
    model.assert_everywhere(*RECEIVERS)
    messages = "".join(
        model.on(node, f"journalctl -u 'fullrank-weights-*' --since=@{began} -o cat | grep damaged || true")
        for node in RECEIVERS
    )
    assert 1 <= messages.count("arrived damaged from n1: once more") <= 3  # two may hit the same slice
    assert sum(map(arrived, RECEIVERS)) < on_the_wire(3 * TOTAL + 3 * SLICE)


def test_a_bit_that_flips_on_a_disk_costs_one_slice(model: Model, arrived: Callable[[str], int]) -> None:
    assert model.run()[0] == 0
    model.on("n3", f"printf x | dd of={model.path}/part-00001.safetensors bs=1 seek=7654321 conv=notrunc status=none")
    model.on("n3", f"rm {model.path}/.fullrank/READY")  # as model_verify does when it finds this
    before = arrived("n3")
    assert model.run()[0] == 0
    assert SLICE < arrived("n3") - before < on_the_wire(SLICE)
    model.assert_everywhere(*RECEIVERS)


def test_a_late_node_gets_it_from_any_that_has_it(model: Model) -> None:
    assert model.run()[0] == 0
    wanted = model.sums("n3")
    for node in ("n1", "n4"):
        model.on(node, f"rm -rf {model.path}")
    assert model.run()[0] == 0
    assert [model.sums(node) for node in NODES] == [wanted] * 4


def test_two_models_at_once_do_not_disturb_each_other(model: Model) -> None:
    model.port = 0  # two transfers on a node need two ports
    other = Model(f"{model.path}-other", model.ground, model.inventory, port=0)
    other.make("n1", seed=2)
    runs = [(one, one.start()) for one in (model, other)]
    assert [one.end(run)[0] for one, run in runs] == [0, 0]
    for one in (model, other):
        one.assert_everywhere(*RECEIVERS)
    for node in NODES:
        other.on(node, f"rm -rf {other.path}")


def test_what_prevents_it_is_reported_at_once_and_before_anything(play: Callable[..., Any], model: Model) -> None:
    model.on("n2", f"mkdir -p {model.path} && mount -t tmpfs -o size=10m none {model.path}")
    try:
        run = play(PLAYBOOK, model_path=model.path)
        left = model.on("n2", f"ls -A {model.path}")
    finally:
        model.on("n2", f"umount {model.path}")
    assert run.rc != 0 and re.search(rf"{model.path} on n2: \S+ [KM]iB of \S+ [KM]iB are missing", run.text)
    assert left == "" and not any(model.here(node) > 100_000 for node in RECEIVERS)
    nowhere = play(PLAYBOOK, model_path="/srv/weights/nowhere")
    assert nowhere.rc != 0 and "no node has a verified copy (n1: no manifest" in nowhere.text


@pytest.fixture
def only_ssh() -> Iterator[None]:
    """Between the nodes no connection is made but to port 22."""
    rule = "tcp dport != 22 tcp flags & (fin|syn|rst|ack) == syn drop"
    for node in NODES:
        for one in (
            "table ip only-ssh",
            "chain ip only-ssh in { type filter hook input priority 0 ; }",
            f"rule ip only-ssh in {rule}",
        ):
            in_network(node, "nft", "add", *one.split())
    yield
    for node in NODES:
        in_network(node, "nft", "delete", "table", "ip", "only-ssh")


@pytest.mark.usefixtures("only_ssh", "slow")
def test_where_only_ssh_may_pass_rsync_brings_it(model: Model) -> None:
    options = {"model_distribute": "rsync", "model_distribute_rsh": "ssh -p 23 -o BatchMode=yes"}
    code, text = model.end(model.start("-e", json.dumps(options)))
    assert code != 0 and "rsync of this node does not reach n3" in " ".join(text.split())
    assert not any(model.here(node) for node in RECEIVERS)
    options["model_distribute_rsh"] = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
    run = model.start("-e", json.dumps(options))
    model.wait_for("n4", TOTAL // 4)
    assert "python" not in model.on("n2", "ss -Hltnp")
    code, text = model.end(run)
    assert code == 0 and " left, " in text and " files, from n" in text
    model.assert_everywhere(*RECEIVERS)


@pytest.fixture
def seen_by_all() -> Iterator[Path]:
    """A folder of this machine that every node sees as /srv/models/<its name>, like a network file system."""
    folder = CHECKOUT / f".cache/models/shared-{os.environ.get('GROUND_NAME', 'fr')}"
    subprocess.run(
        [str(CHECKOUT / "tests/standins/make-model"), str(folder), "5", *map(str, SIZES)], check=True, timeout=60
    )
    yield folder
    shutil.rmtree(folder)


def test_a_shared_folder_is_looked_at_only(play: Callable[..., Any], model: Model, seen_by_all: Path) -> None:
    run = play(PLAYBOOK, model_path=model.path, model_distribute="shared")
    assert run.rc != 0 and f"{model.path} on n4: the shared copy is not there: no manifest" in run.text
    path = f"/srv/models/{seen_by_all.name}"
    run = play(PLAYBOOK, model_path=path, model_distribute="shared")
    assert (run.rc, run.changed) == (0, 0)
    with (seen_by_all / "part-00001.safetensors").open("r+b") as file:
        file.truncate(SIZES[0] - 1)
    run = play(PLAYBOOK, model_path=path, model_distribute="shared")
    assert run.rc != 0 and f"part-00001.safetensors: {SIZES[0] - 1} bytes, should be {SIZES[0]}" in " ".join(
        run.text.split()
    )
