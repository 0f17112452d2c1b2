# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of recorded nodes: nvidia-smi joined with sysfs and /proc."""

from __future__ import annotations

from pathlib import Path

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import gpu

QUERY = "nvidia-smi -q -x"
CAPABILITY = "nvidia-smi --query-gpu=uuid,compute_cap --format=csv,noheader"


@pytest.mark.parametrize(
    ("product", "tree", "capability"),
    [
        ("a100", "a100-roce", "8.0"),
        ("h100", "h100-infiniband", "9.0"),
        ("h200", "h100-infiniband", "9.0"),
        ("h20", "h100-infiniband", "9.0"),
        ("l40s", "h100-infiniband", "8.9"),
        ("b200", "h100-infiniband", "10.0"),
    ],
)
def test_gpus_of_a_node(product: str, tree: str, capability: str, tmp_path: Path) -> None:
    host = Host(str(recorded.unpack(tree, tmp_path)))
    addresses = pci.find(host, gpu.VENDOR_NVIDIA, gpu.CLASS_DISPLAY)
    recorded.command(tmp_path, QUERY, recorded.nvidia_smi_xml(product, addresses))
    facts = gpu.collect(host)
    assert [card["pci_address"] for card in facts["gpus"]] == facts["pci_gpus"] == addresses
    assert len(addresses) == 8
    assert {card["compute_capability"] for card in facts["gpus"]} == {capability}
    assert {card["memory_total_mib"] for card in facts["gpus"]} == {recorded.PRODUCTS[product][1]}
    assert {card["fabric_state"] for card in facts["gpus"]} == {"Completed"}
    assert [card["numa_node"] for card in facts["gpus"]] == [0] * 4 + [1] * 4
    assert all(card["pci_path"][0].startswith("pci0000:") for card in facts["gpus"])
    assert all(card["pci_path"][-1] == card["pci_address"] for card in facts["gpus"])


def test_nvswitches_are_seen_on_the_bus(tmp_path: Path) -> None:
    facts = gpu.collect(Host(str(recorded.unpack("a100-roce", tmp_path))))
    assert len(facts["pci_nvswitches"]) == 6
    assert facts["kernel_module"] == {"version": "535.183.01", "kind": "proprietary"}


def test_the_driver_knows_better_than_the_name(tmp_path: Path) -> None:
    recorded.command(tmp_path, QUERY, recorded.nvidia_smi_xml("h100", ["0000:01:00.0"]))
    recorded.command(tmp_path, CAPABILITY, "GPU-00000000-0000-0000-0000-000000000000, 9.9\n")
    assert gpu.collect(Host(str(tmp_path)))["gpus"][0]["compute_capability"] == "9.9"


def test_no_nvidia_smi_means_no_gpus(tmp_path: Path) -> None:
    facts = gpu.collect(Host(str(recorded.unpack("h100-infiniband", tmp_path))))
    assert facts["gpus"] == []
    assert facts["nvidia_smi"]["found"] is False
    assert len(facts["pci_gpus"]) == 8, "cards without a driver are still seen"


def test_nvidia_smi_that_fails_is_reported_in_its_own_words(tmp_path: Path) -> None:
    recorded.command(tmp_path, QUERY, "Failed to initialize NVML: Driver/library version mismatch\n", rc=18)
    facts = gpu.collect(Host(str(tmp_path)))
    assert facts["gpus"] == []
    assert facts["nvidia_smi"] == {
        "found": True,
        "rc": 18,
        "message": "Failed to initialize NVML: Driver/library version mismatch",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/cpuinfo": "flags\t: fpu hypervisor sse"}, True),
        ({"proc/cpuinfo": "flags\t: fpu sse", "sys/class/dmi/id/product_name": "KVM"}, False),
        ({"proc/cpuinfo": "Features\t: fp asimd", "sys/class/dmi/id/product_name": "KVM Virtual Machine"}, True),
        ({"proc/cpuinfo": "Features\t: fp asimd", "sys/class/dmi/id/product_name": "GB200 NVL"}, False),
        ({}, False),
    ],
)
def test_virtual_machine(files: dict[str, str], expected: bool, tmp_path: Path) -> None:
    for path, content in files.items():
        recorded.write(tmp_path, path, content)
    assert gpu.is_virtual_machine(Host(str(tmp_path))) is expected


PARAMS = 'ResmanDebugLevel: 4294967295\nEnableStreamMemOPs: {streams}\nRegistryDwords: "{words}"\n'


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (PARAMS.format(streams=1, words="PeerMappingOverride=1;"), True),
        (PARAMS.format(streams=1, words="Other=1;PeerMappingOverride=0x1"), True),
        (PARAMS.format(streams=0, words="PeerMappingOverride=1;"), False),
        (PARAMS.format(streams=1, words=""), False),
        (PARAMS.format(streams=1, words="PeerMappingOverride=10;"), False),
        ("", False),
    ],
)
def test_what_lets_gpus_ring_nics(params: str, expected: bool, tmp_path: Path) -> None:
    recorded.write(tmp_path, "proc/driver/nvidia/params", params)
    assert gpu.ibgda(Host(str(tmp_path))) == {"gdrdrv": False, "driver_options": expected}
    recorded.write(tmp_path, "dev/gdrdrv", "")
    assert gpu.ibgda(Host(str(tmp_path)))["gdrdrv"] is True


def test_channels_of_a_rack(tmp_path: Path) -> None:
    assert gpu.collect(Host(str(tmp_path)))["imex_channels"] == []
    for name in ("channel10", "channel2"):
        recorded.write(tmp_path, f"dev/nvidia-caps-imex-channels/{name}", "")
    assert gpu.collect(Host(str(tmp_path)))["imex_channels"] == ["channel2", "channel10"]
