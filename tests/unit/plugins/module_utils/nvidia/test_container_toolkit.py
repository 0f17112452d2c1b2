# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs in containers: the plan of a node, and who is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import CommandResult, Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import container_toolkit
from ansible_collections.fullrank.serving.plugins.module_utils.packages import sources
from ansible_collections.fullrank.serving.plugins.modules import gpu_container_check
from toolkit_nodes import facts

REPOSITORY = "https://m/libnvidia-container"


def runs(**versions: str) -> dict[str, Any]:
    """These versions of runtimes, "" for one that is not installed."""
    return {
        "runtimes": {
            name: {"version": version, "message": "" if version else "is not installed"}
            for name, version in versions.items()
        }
    }


def plan(**more: Any) -> dict[str, Any]:
    return container_toolkit.plan(facts(**more), "1.18.1", REPOSITORY, "", runtime="docker")


def test_four_packages_follow_the_first() -> None:
    assert [(one["names"], one["version"]) for one in plan()["packages"]] == [
        (["nvidia-container-toolkit"], "1.18.1"),
        (["nvidia-container-toolkit-base"], "same"),
        (["libnvidia-container-tools"], "same"),
        (["libnvidia-container1"], "same"),
    ]


@pytest.mark.parametrize(
    ("spec", "driver", "stale"),
    [
        (None, "580.95.05", True),
        ("libcuda.so.570.86.15", "580.95.05", True),
        ("libcuda.so.580.95.05", "580.95.05", False),
        (None, "", False),
    ],
)
def test_a_specification_of_another_driver_is_stale(spec: str | None, driver: str, stale: bool) -> None:
    assert container_toolkit.spec_stale(spec, driver) is stale


def test_units_of_ours_where_the_toolkit_brings_none() -> None:
    old = plan(toolkit="1.17.8", units=["not-found", "not-found", "not-found"])
    assert old["units"] == ["fullrank-cdi-refresh.path", "fullrank-cdi-refresh.service"]
    assert len(old["unit_files"]) == 2 and not old["units_enabled"]
    assert plan()["unit_files"] == [] and plan()["units_enabled"]
    assert not plan(units=["disabled", "enabled", "not-found"])["units_enabled"]


def test_the_repository_is_nvidias_or_a_mirror_with_a_key_of_its_own() -> None:
    """geerlingguy/docker 298, 316, 409, 434: one URL with two keys stops apt, so older sources go, whatever they call it."""
    apt = plan()["repository"]
    assert (apt["url"], apt["key_url"]) == (f"{REPOSITORY}/stable/deb/$(ARCH)", f"{REPOSITORY}/gpgkey")
    assert apt["fingerprint"] == container_toolkit.FINGERPRINT
    older = "deb [signed-by=/k.gpg] https://nvidia.github.io/libnvidia-container/stable/deb/amd64 /\n"
    for alias in apt["aliases"]:
        older = sources.without(older, "nvidia-container-toolkit.list", alias)
    assert older == ""
    dnf = container_toolkit.plan(facts(debian=False), "1.18", REPOSITORY, "F" * 40, runtime="docker")["repository"]
    assert (dnf["url"], dnf["fingerprint"]) == (f"{REPOSITORY}/stable/rpm/$basearch", "F" * 40)
    text = sources.repo(dnf["name"], "", dnf["url"], "/k", signed="metadata")
    assert "\ngpgcheck=0\nrepo_gpgcheck=1\n" in text


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, []),
        ({"driver_message": "Failed to initialize NVML: Driver/library version mismatch"}, ["driver"]),
        (runs(docker=""), ["runtime"]),
        (runs(docker="20.10.24+dfsg1"), ["runtime-cdi"]),  # Debian 12's
        ({**runs(docker="26.1.5+dfsg1"), "other_specs": ["/etc/cdi/nvidia.yaml"]}, ["cdi-spec"]),
    ],
)
def test_what_stands_in_the_way(more: dict[str, Any], found: list[str]) -> None:
    assert [one["code"] for one in plan(**more)["findings"]] == found


def test_podman_of_debian_12_knows_cdi() -> None:
    for version, found in (("4.3.1", []), ("3.0.1", ["runtime-cdi"]), ("", ["runtime"])):
        node = facts(**runs(podman=version))
        assert [
            one["code"] for one in container_toolkit.plan(node, "1.18", REPOSITORY, "", "podman")["findings"]
        ] == found
    assert container_toolkit.plan(facts(**runs(docker="")), "1.18", REPOSITORY, "", "none")["findings"] == []


def test_without_a_driver_nothing_is_done_and_nothing_is_wrong() -> None:
    found = plan(driver_found=False, **runs(docker=""))
    assert found["skip"] == "there is no driver (nvidia-smi) on this node" and found["findings"] == []


def test_a_node_is_read(tmp_path: Path) -> None:
    recorded.write(tmp_path, "etc/os-release", "ID=ubuntu\\nID_LIKE=debian\\n")
    recorded.write(tmp_path, "var/run/cdi/nvidia.yaml", "libcuda.so.580.95.05")
    recorded.command(tmp_path, "nvidia-smi --query-gpu=driver_version --format=csv,noheader", "580.95.05\n580.95.05\n")
    recorded.command(tmp_path, "docker version --format {{.Server.Version}}", "28.5.2\n")
    recorded.command(tmp_path, "podman version --format {{.Client.Version}}", "4.3.1\n")
    recorded.command(tmp_path, "nerdctl version --format {{.Client.Version}}", "v2.1.2\n")
    recorded.command(tmp_path, "nvidia-ctk --version", "NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80\n")
    found = container_toolkit.collect(Host(str(tmp_path)))
    assert (found["driver_version"], found["toolkit"]) == ("580.95.05", "1.17.8")
    assert found["runtimes"] == runs(docker="28.5.2", podman="4.3.1", nerdctl="2.1.2")["runtimes"]
    assert not container_toolkit.plan(found, "1.17", REPOSITORY, "", "docker")["spec_stale"]


@pytest.mark.parametrize(
    ("host_config", "has_gpus"),
    [
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"], "Capabilities": None}]}, True),
        ({"DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}]}, True),
        ({"DeviceRequests": None, "Runtime": "nvidia"}, True),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["intel.com/qat=0"]}], "Runtime": "runc"}, False),
        ({"DeviceRequests": None, "Runtime": "runc"}, False),
    ],
)
def test_containers_that_were_given_gpus(host_config: dict[str, Any], has_gpus: bool) -> None:
    assert gpu_container_check.was_given_gpus({"HostConfig": host_config}) is has_gpus


def test_containers_of_podman_that_were_given_gpus() -> None:
    """podman inspect tells of devices by the command line only."""
    for words, has_gpus in (
        (["podman", "run", "--device", "nvidia.com/gpu=all", "i"], True),
        (["podman", "run", "i"], False),
    ):
        assert gpu_container_check.was_given_gpus({"Config": {"CreateCommand": words}, "HostConfig": {}}) is has_gpus


def test_the_list_of_gpus() -> None:
    text = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n  MIG 1g.10gb     Device  0: (UUID: MIG-2)\n"
    assert gpu_container_check.listed(CommandResult(0, text, "")) == ["GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)"]
    assert gpu_container_check.listed(CommandResult(255, "Failed to initialize NVML: Unknown Error", "")) == []
    assert gpu_container_check.listed(None) == []
