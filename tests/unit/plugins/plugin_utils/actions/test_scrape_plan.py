# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is to read, what the ranks' supervisors say to it, and files that are checked before they are written."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.filter.scrape_plan import scrape_plan
from ansible_collections.fullrank.serving.plugins.modules import node_files
from places import CHECKOUT

VLLM = {"engine_name": "vllm"}
SGLANG = {"engine_name": "sglang", "engine_args": {"enable_metrics": True}}


def jobs(hosts: dict[str, dict[str, Any]], **groups: list[str]) -> dict[str, Any]:
    deployments = {name: ranks for name, ranks in groups.items() if name not in ("gpu_nodes", "monitoring")}
    plan = scrape_plan(deployments, hosts, groups)
    return {job["job_name"]: job for job in plan["scrape_configs"]} | {"findings": plan["findings"]}


def test_every_machine_and_every_head_is_read() -> None:
    hosts = {
        "gpu1": {"ansible_host": "192.0.2.11", **VLLM},
        "gpu2": {"ansible_host": "2001:db8::12", **SGLANG, "engine_port": 30000},
        "watch": {},
    }
    found = jobs(hosts, gpu_nodes=["gpu1", "gpu2"], monitoring=["watch"], r1=["gpu1", "gpu2"], qwen=["gpu2"])
    assert [one["targets"] for one in found["node"]["static_configs"]] == [
        ["192.0.2.11:9100"],
        ["[2001:db8::12]:9100"],
        ["watch:9100"],
    ]
    assert [one["labels"] for one in found["gpu"]["static_configs"]] == [{"node": "gpu1"}, {"node": "gpu2"}]
    assert found["engine"]["static_configs"] == [
        {
            "targets": ["192.0.2.11:8000"],
            "labels": {"deployment": "r1", "engine_name": "vllm", "head": "gpu1", "node": "gpu1", "rank": "0"},
        },
        {
            "targets": ["[2001:db8::12]:30000"],
            "labels": {"deployment": "qwen", "engine_name": "sglang", "head": "gpu2", "node": "gpu2", "rank": "0"},
        },
    ]
    assert found["findings"] == []


def test_a_machine_in_both_groups_is_read_once() -> None:
    found = jobs({"gpu1": VLLM}, gpu_nodes=["gpu1"], monitoring=["gpu1"], r1=["gpu1"])
    assert len(found["node"]["static_configs"]) == 1


def test_each_replica_is_read_at_its_head() -> None:
    hosts = {f"gpu{number}": {**VLLM, "engine_replicas": 2} for number in range(4)}
    found = jobs(hosts, gpu_nodes=list(hosts), monitoring=["gpu0"], r1=list(hosts))
    assert [one["labels"]["head"] for one in found["engine"]["static_configs"]] == ["gpu0", "gpu2"]


def test_each_server_of_a_replica_is_read() -> None:
    wide = {
        "engine_version": "0.32.0",
        "engine_data_parallel_size": 4,
        "engine_args": {"data_parallel_hybrid_lb": True},
    }
    hosts = {f"gpu{number}": {**VLLM, **wide} for number in range(2)}
    found = jobs(hosts, gpu_nodes=list(hosts), monitoring=["gpu0"], moe=list(hosts))["engine"]["static_configs"]
    assert [(one["targets"], one["labels"]["rank"], one["labels"]["head"], one["labels"]["node"]) for one in found] == [
        (["gpu0:8000"], "0", "gpu0", "gpu0"),
        (["gpu1:8000"], "1", "gpu0", "gpu1"),
    ]


def test_nodes_without_gpus_have_no_exporter_of_gpus() -> None:
    hosts = {"n1": {**VLLM, "monitoring_gpu_exporter": "none"}, "n2": {"monitoring_gpu_exporter": "package"}}
    found = jobs(hosts, gpu_nodes=["n1", "n2"], monitoring=[], r1=["n1"])
    assert [one["labels"]["node"] for one in found["gpu"]["static_configs"]] == ["n2"]
    assert "gpu" not in jobs({"n1": hosts["n1"]}, gpu_nodes=["n1"], r1=["n1"])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"engine_name": "sglang"}, "write engine_args: {enable_metrics: true}"),
        ({"engine_name": "sglang", "engine_args": {"enable_metrics": False}}, "SGLang has no metrics"),
        ({"engine_name": "vllm", "engine_args": {"disable_log_stats": True}}, "take disable_log_stats out"),
        ({"engine_name": "vllm", "engine_host": "127.0.0.1"}, "which Prometheus on watch does not reach"),
    ],
)
def test_what_serves_unseen_is_reported(head: dict[str, Any], message: str) -> None:
    found = jobs({"gpu1": head, "watch": {}}, gpu_nodes=["gpu1"], monitoring=["watch"], r1=["gpu1"])
    (finding,) = found["findings"]
    assert message in finding and "r1" in finding
    # a target that can never answer would be an alert for ever
    assert ("engine" in found) is (head.get("engine_host") is not None)


def test_an_engine_with_a_certificate_is_read_by_https() -> None:
    tls = {**VLLM, "engine_args": {"ssl_certfile": "/etc/tls/own.crt"}}
    found = jobs({"a": VLLM, "b": tls, "c": {**tls, "engine_ca_file": "/etc/ca.pem"}}, ra=["a"], rb=["b"], rc=["c"])
    schemes = {one["labels"]["head"]: one["labels"].get("__scheme__") for one in found["engine"]["static_configs"]}
    assert schemes == {"a": None, "b": "https"}
    own = found["engine-tls-1"]
    assert own["tls_config"] == {"ca_file": "/etc/ca.pem"}
    assert own["static_configs"][0]["labels"]["__scheme__"] == "https"
    assert own["relabel_configs"] == [{"target_label": "job", "replacement": "engine"}], "rules know one job"
    (finding,) = found["findings"]
    assert "engine_ca_file of rb" in finding


def test_on_the_head_itself_loopback_is_reached() -> None:
    head = {"engine_name": "vllm", "engine_host": "127.0.0.1"}
    found = jobs({"gpu1": head}, gpu_nodes=["gpu1"], monitoring=["gpu1"], r1=["gpu1"])
    assert found["findings"] == []
    assert found["engine"]["static_configs"][0]["targets"] == ["127.0.0.1:8000"]


# --- the program on the nodes ---

SPEC = importlib.util.spec_from_file_location("rank_metrics", CHECKOUT / "roles/monitoring/files/rank_metrics.py")
assert SPEC and SPEC.loader
rank_metrics = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rank_metrics)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node with rank 1 of a deployment that is ready, as its supervisor reported at 100 seconds after the boot."""
    for folder in ("etc/fullrank", "run/fullrank", "etc/systemd/system/multi-user.target.wants"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/fullrank/tiny.supervisor.json").write_text(
        json.dumps({"deployment": "tiny", "rank": 1, "names": ["n1", "n2"]})
    )
    (tmp_path / "run/fullrank/tiny.json").write_text(json.dumps({"at": 100.0, "ready": True, "engine": "running"}))
    (tmp_path / "run/fullrank/tiny.epoch").write_text("7 abc\n")
    (tmp_path / "etc/systemd/system/multi-user.target.wants/fullrank-supervisor@tiny.service").symlink_to("/nowhere")
    return tmp_path


def values(node: Path, now: float = 102.0) -> dict[str, int]:
    ((labels, found),) = rank_metrics.ranks(node, now)
    assert labels == {"deployment": "tiny", "head": "n1", "rank": "1"}
    return {name.removeprefix("fullrank_"): value for name, value in found.items()}


READY = {"rank_wanted": 1, "supervisor_up": 1, "rank_up": 1, "deployment_ready": 1, "rank_epoch": 7}


def test_what_a_supervisor_reports_is_shown(node: Path) -> None:
    assert values(node) == READY


def test_a_supervisor_that_does_not_move_is_not_believed(node: Path) -> None:
    assert values(node, 106.0) == {**READY, "supervisor_up": 0, "rank_up": 0, "deployment_ready": 0}


def test_a_rank_whose_engine_ended(node: Path) -> None:
    (node / "run/fullrank/tiny.json").write_text(json.dumps({"at": 101.0, "ready": False, "engine": "stopped"}))
    assert values(node) == {**READY, "rank_up": 0, "deployment_ready": 0}


def test_a_rank_that_the_operator_stopped(node: Path) -> None:
    (node / "run/fullrank/tiny.json").unlink()
    (node / "etc/systemd/system/multi-user.target.wants/fullrank-supervisor@tiny.service").unlink()
    assert values(node) == {**READY, "rank_wanted": 0, "supervisor_up": 0, "rank_up": 0, "deployment_ready": 0}


def test_a_node_without_ranks_shows_the_help_only(tmp_path: Path) -> None:
    text = rank_metrics.text(rank_metrics.ranks(tmp_path, 1.0))
    assert all(line.startswith("# ") for line in text.splitlines())


def test_the_text_is_prometheus(node: Path) -> None:
    lines = rank_metrics.text(rank_metrics.ranks(node, 102.0)).splitlines()
    assert 'fullrank_rank_epoch{deployment="tiny",head="n1",rank="1"} 7' in lines
    assert (
        lines.index("# TYPE fullrank_rank_up gauge")
        == lines.index('fullrank_rank_up{deployment="tiny",head="n1",rank="1"} 1') - 1
    )


# --- files that are checked together ---


class Module:
    """What `validate` needs of an AnsibleModule."""

    def __init__(self, folder: Path, validate: list[str], check_mode: bool = False) -> None:
        files = [{"path": str(folder / name), "content": f"{name}\n", "mode": "0600"} for name in ("a.yml", "b.yml")]
        entries = [{**one, "state": "present", "ours": False, "comment": "#"} for one in files]
        self.params = {"files": entries, "validate": validate}
        self.check_mode, self.tmpdir = check_mode, str(folder)
        self.seen: dict[str, str] = {}

    def run_command(self, command: list[str], cwd: str) -> tuple[int, str, str]:
        self.seen = {path.name: path.read_text().splitlines()[-1] for path in Path(cwd).iterdir()}
        return (0, "", "") if command[-1] in self.seen else (1, "", f"{command[-1]} is not there")

    def fail_json(self, msg: str) -> None:
        raise SystemExit(msg)


def test_files_are_checked_together_before_they_are_written(tmp_path: Path) -> None:
    module = Module(tmp_path, ["/bin/sh", "b.yml"])
    node_files.validate(module)
    assert module.seen == {"a.yml": "a.yml", "b.yml": "b.yml"}
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_files_that_are_refused_are_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"/bin/sh c.yml refuses .*a.yml, .*b.yml, nothing was changed:\nc.yml is not there"
    ):
        node_files.validate(Module(tmp_path, ["/bin/sh", "c.yml"]))


def test_a_check_run_does_without_a_program_that_would_be_installed(tmp_path: Path) -> None:
    module = Module(tmp_path, [str(tmp_path / "promtool"), "c.yml"], check_mode=True)
    node_files.validate(module)
    assert module.seen == {}
