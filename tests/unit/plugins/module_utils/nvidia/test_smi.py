# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outputs of nvidia-smi."""

from __future__ import annotations

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import smi
from hypothesis import given, settings
from hypothesis import strategies as st


def test_mig_gpu_of_driver_535() -> None:
    facts = smi.parse_query_xml(recorded.smi("a100-sxm4-mig-v12.xml"))
    assert (facts["driver_version"], facts["cuda_version"]) == ("535.54.03", "12.2")
    (a100,) = facts["gpus"]
    assert a100["name"] == "NVIDIA A100-SXM4-80GB"
    assert a100["uuid"] == "GPU-513536b6-7d19-9063-b049-1e69664bb298"
    assert a100["pci_address"] == "0000:01:00.0"
    assert (a100["index"], a100["minor_number"]) == (0, 1)
    assert (a100["memory_total_mib"], a100["memory_used_mib"]) == (81920, 50)
    assert a100["mig_mode"] == "Enabled"
    assert [device["gpu_instance_id"] for device in a100["mig_devices"]] == [3, 4]
    assert (a100["fabric_state"], a100["fabric_status"]) == ("N/A", "N/A")
    assert (a100["ecc_mode"], a100["ecc_uncorrectable_volatile"]) == ("Enabled", 0)
    assert a100["processes"] == []


def test_guest_gpu_of_driver_510_has_no_fabric_element() -> None:
    (a100,) = smi.parse_query_xml(recorded.smi("a100-sxm4-guest-v11.xml"))["gpus"]
    assert a100["virtualization_mode"] == "Pass-Through"
    assert a100["fabric_state"] == "N/A"
    assert a100["ecc_uncorrectable_volatile"] is None


def test_process_that_holds_memory_of_driver_590() -> None:
    (rtx,) = smi.parse_query_xml(recorded.smi("rtx-pro-6000-v13.xml"))["gpus"]
    assert rtx["processes"] == [
        {"pid": 116860, "type": "C", "name": "/root/src/llama.cpp/build/bin/llama-server", "used_mib": 65710}
    ]
    assert rtx["memory_used_mib"] == 65720
    assert rtx["mig_mode"] == "N/A"
    assert rtx["remapped_rows_failure"] is False


def test_versions_as_driver_610_is_thought_to_name_them() -> None:
    text = recorded.nvidia_smi_xml("b200", [], driver="610.43.02", cuda="13.3")
    renamed = text.replace("driver_version>", "kmd_version>").replace("cuda_version>", "cuda_umd_version>")
    facts = smi.parse_query_xml(renamed)
    assert (facts["driver_version"], facts["cuda_version"]) == ("610.43.02", "13.3")


@pytest.mark.parametrize(
    "text", ["", "No devices were found", "<a/>", "<nvidia_smi_log>", "NVIDIA-SMI has failed because ..."]
)
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the XML"):
        smi.parse_query_xml(text)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("00000000:0F:00.0", "0000:0f:00.0"),
        ("00000001:00:00.0", "0001:00:00.0"),
        ("00010000:81:00.1", "10000:81:00.1"),
        ("N/A", None),
        ("", None),
    ],
)
def test_pci_address(printed: str, expected: str | None) -> None:
    assert pci.normalize_address(printed) == expected


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA A800-SXM4-80GB", "8.0"),
        ("NVIDIA A10G", "8.6"),
        ("NVIDIA A10", "8.6"),
        ("NVIDIA L40S", "8.9"),
        ("NVIDIA L20", "8.9"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA H20", "9.0"),
        ("NVIDIA H200 NVL", "9.0"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA GB300", "10.3"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0"),
        ("Tesla V100-SXM2-32GB", "7.0"),
        ("Tesla T4", "7.5"),
        ("NVIDIA GB99", None),
        (None, None),
    ],
)
def test_compute_capability_by_name(name: str | None, capability: str | None) -> None:
    assert smi.compute_capability_by_name(name) == capability


def test_compute_capabilities_as_the_driver_tells_them() -> None:
    text = 'GPU-aa, 8.0\nGPU-bb, 9.0\n\nField "compute_cap" is not a valid field to query.\nGPU-cc, [N/A]\n'
    assert smi.parse_compute_capabilities(text) == {"GPU-aa": "8.0", "GPU-bb": "9.0"}


@pytest.mark.parametrize(
    ("file", "gpus", "link", "expected", "numa"),
    [
        ("topo-a100-10hca.txt", 8, ("GPU0", "GPU7"), "NV12", 0),
        ("topo-a100-10hca.txt", 8, ("GPU6", "mlx5_4"), "PXB", 0),
        ("topo-a100-10hca.txt", 8, ("GPU6", "mlx5_7"), "SYS", 0),
        ("topo-h100-12hca-pcie.txt", 8, ("GPU7", "mlx5_11"), "PIX", 0),
        ("topo-h100-12hca-pcie.txt", 8, ("GPU1", "mlx5_0"), "NODE", 0),
        ("topo-v100-old-header.txt", 3, ("GPU2", "mlx5_1"), "PIX", None),
    ],
)
def test_topology(file: str, gpus: int, link: tuple[str, str], expected: str, numa: int | None) -> None:
    topology = smi.parse_topology(recorded.smi(file))
    assert len(topology["links"]) == gpus
    assert topology["links"][link[0]][link[1]] == expected
    assert topology["numa_affinity"].get("GPU0") == numa
    assert link[0] not in topology["links"][link[0]]


def test_affinities_of_the_second_socket() -> None:
    topology = smi.parse_topology(recorded.smi("topo-a100-10hca.txt"))
    assert (topology["cpu_affinity"]["GPU7"], topology["numa_affinity"]["GPU7"]) == ("64-127,192-254", 1)


@pytest.mark.parametrize(
    ("text", "version", "kind"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n",
            "535.183.01",
            "proprietary",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16)\n",
            "570.86.15",
            "open",
        ),
        ("", None, None),
    ],
)
def test_kernel_module(text: str, version: str | None, kind: str | None) -> None:
    assert smi.parse_kernel_module(text) == {"version": version, "kind": kind}


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert set(smi.parse_topology(text)) == {"links", "cpu_affinity", "numa_affinity"}
    smi.parse_compute_capabilities(text)
    smi.parse_kernel_module(text)
