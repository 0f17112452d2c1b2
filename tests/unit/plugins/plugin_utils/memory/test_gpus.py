# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of GPUs by name."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_logs import model
from memory_models import codes

GIB = 1024**3


@pytest.mark.parametrize("name, mib, capability, printed, nvlink", [
    # GiB that CUDA reports, as vLLM's logs print it; 0 where no log was seen
    ("NVIDIA A100-SXM4-80GB", 81920, (8, 0), 79.25, True),
    ("NVIDIA A100-SXM4-40GB", 40960, (8, 0), 39.5, True),
    ("NVIDIA A100-PCIE-40GB", 40960, (8, 0), 39.5, False),
    ("NVIDIA A100 80GB PCIe", 81920, (8, 0), 79.25, False),
    ("NVIDIA A800-SXM4-80GB", 81920, (8, 0), 79.25, True),
    ("NVIDIA H100 80GB HBM3", 81559, (9, 0), 79.19, True),
    ("NVIDIA H100 PCIe", 81559, (9, 0), 79.19, False),
    ("NVIDIA H100 NVL", 95830, (9, 0), 0, False),
    ("NVIDIA H20", 97871, (9, 0), 0, True),
    ("NVIDIA H20-3e", 143771, (9, 0), 139.72, True),
    ("NVIDIA H200", 143771, (9, 0), 139.8, True),
    ("NVIDIA B200", 183359, (10, 0), 178.35, True),
    ("NVIDIA B300 SXM6 AC", 275040, (10, 3), 267.69, True),
    ("NVIDIA GB200", 189471, (10, 0), 184.31, True),
    ("NVIDIA GB300", 284208, (10, 3), 276.62, True),
    ("NVIDIA GB10", 124580, (12, 1), 121.66, False),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, (12, 0), 95.0, False),
    ("NVIDIA GeForce RTX 5090", 32607, (12, 0), 31.38, False),
    ("NVIDIA GeForce RTX 4090", 24564, (8, 9), 23.6, False),
    ("NVIDIA GeForce RTX 3090", 24576, (8, 6), 23.6, False),
    ("NVIDIA L40S", 46068, (8, 9), 44.39, False),
    ("NVIDIA L40", 46068, (8, 9), 44.39, False),
    ("NVIDIA L4", 23034, (8, 9), 22.05, False),
    ("NVIDIA A10", 23028, (8, 6), 22.06, False),
    ("NVIDIA A10G", 23028, (8, 6), 22.06, False),
    ("NVIDIA A30", 24576, (8, 0), 0, False),
    ("NVIDIA A40", 46068, (8, 6), 0, False),
    ("Tesla T4", 15360, (7, 5), 14.56, False),
    ("Tesla V100-SXM2-32GB", 32768, (7, 0), 0, True),
    ("Tesla V100-PCIE-16GB", 16384, (7, 0), 0, False),
    ("AMD Instinct MI300X", 196608, None, 0, True),
    ("AMD Instinct MI325X", 262144, None, 0, True),
    ("AMD Instinct MI355X", 294912, None, 0, True),
    ("something else", 0, None, 0, True),
])  # fmt: skip
def test_by_name(name: str, mib: int, capability: tuple[int, int] | None, printed: float, nvlink: bool) -> None:
    known = gpu({"gpu": name})
    assert (known.memory_mib, known.capability, known.nvlink) == (mib, capability, nvlink)
    assert not printed or known.visible / GIB == pytest.approx(printed, abs=0.1)
    assert known.visible <= known.total


def test_facts_win_over_the_table() -> None:
    known = gpu({"gpu": "NVIDIA H20", "memory_mib": 143771, "compute_capability": "9.0"})
    assert known.memory_mib == 143771 and 139 < known.visible / GIB < 140


def test_a_part_of_a_gpu_keeps_a_reserve_of_its_size() -> None:
    slice_of_one = gpu({"gpu": "NVIDIA H100 80GB HBM3", "memory_mib": 10000})
    assert slice_of_one.reserved_mib == 420


def test_a_node_without_nvlink_is_known_by_its_domain() -> None:
    assert not gpu({"gpu": "NVIDIA H100 80GB HBM3", "nvlink_domain": 1}).nvlink


def test_amd_is_counted_but_nothing_is_installed_for_it() -> None:
    result = memory_fit(model("llama-3.1-8b"), {"gpu": "AMD Instinct MI355X"}, {"tp": 1}, "vllm")
    assert result["verdict"] == "fits" and "amd-software" in codes(result)


def test_a_shared_memory_is_not_the_engines_alone() -> None:
    result = memory_fit(
        model("llama-3.1-8b"), {"gpu": "NVIDIA GB10"}, {"tp": 1}, "vllm", engine_args={"gpu_memory_utilization": 0.95}
    )
    assert result["verdict"] == "tight" and {"unified-memory", "tight"} <= codes(result)
    lower = {"gpu_memory_utilization": 0.9}
    assert (
        memory_fit(model("llama-3.1-8b"), {"gpu": "NVIDIA GB10"}, {"tp": 1}, "vllm", engine_args=lower)["verdict"]
        == "fits"
    )
