# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates of links, and which HCAs a list selects."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node import links


@pytest.mark.parametrize(
    ("hca_list", "device", "port", "selected"),
    [
        ("", "mlx5_0", 1, True),
        ("mlx5", "mlx5_0", 1, True),
        ("mlx5_1", "mlx5_10", 1, True),  # the prefix trap
        ("=mlx5_1", "mlx5_10", 1, False),
        ("=mlx5_1,mlx5_10", "mlx5_10", 1, True),
        ("=mlx5_0:1", "mlx5_0", 1, True),
        ("=mlx5_0:1", "mlx5_0", 2, False),
        ("^mlx5_0", "mlx5_0", 1, False),
        ("^=mlx5_1", "mlx5_10", 1, True),
        ("^=mlx5_1", "mlx5_1", 1, False),
    ],
)
def test_which_hcas_a_list_selects(hca_list: str, device: str, port: int, selected: bool) -> None:
    """NCCL user guide, NCCL_IB_HCA."""
    assert links.selects(hca_list, device, port) is selected


def test_rates_of_links(tmp_path: Path) -> None:
    files = {
        "class/net/eth0/speed": "25000\n",
        "class/net/virtio0/speed": "-1\n",
        "class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE\n",
        "class/infiniband/mlx5_0/ports/1/rate": "200 Gb/sec (4X HDR)\n",
        "class/infiniband/mlx5_1/ports/1/state": "4: ACTIVE\n",
        "class/infiniband/mlx5_1/ports/1/rate": "200 Gb/sec (4X HDR)\n",
        "class/infiniband/mlx5_2/ports/1/state": "1: DOWN\n",
        "class/infiniband/mlx5_2/ports/1/rate": "10 Gb/sec (4X SDR)\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert links.interface_gbps("eth0", tmp_path) == 25
    assert [links.interface_gbps(name, tmp_path) for name in ("virtio0", "gone", "")] == [0, 0, 0]
    assert links.rdma_gbps("", tmp_path) == 400
    assert links.rdma_gbps("=mlx5_1", tmp_path) == 200
    assert links.rdma_gbps("", tmp_path / "nothing") == 0
