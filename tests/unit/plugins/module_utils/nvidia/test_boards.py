# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a GPU is by its PCI device id."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import boards
from nvidia_nodes import B200, GH200, H100, L40S, T4, V100


@pytest.mark.parametrize(
    ("gpu", "generation", "modules"),
    [
        (V100, "Volta", "proprietary"),
        (0x15F8, "Pascal", "proprietary"),
        (T4, "Turing", "open"),
        (0x2182, "Turing", "open"),
        (0x20B2, "Ampere", "open"),
        (0x2236, "Ampere", "open"),
        (H100, "Hopper", "open"),
        (GH200, "Grace Hopper", "open"),
        (L40S, "Ada Lovelace", "open"),
        (B200, "Blackwell", "open"),
        (0x3182, "Blackwell", "open"),
    ],
)
def test_generation_and_modules(gpu: int, generation: str, modules: str) -> None:
    assert boards.generation(gpu).name == generation
    assert boards.kernel_modules([gpu], "auto") == (modules, [])


def test_every_known_product_is_in_a_generation_that_its_name_allows() -> None:
    expected = {
        "A": ("Ampere",),
        "H": ("Hopper",),
        "L": ("Ada Lovelace",),
        "B": ("Blackwell",),
        "V": ("Volta",),
        "P": ("Pascal",),
    }
    for device, product in boards.PRODUCTS.items():
        assert boards.generation(device).name in expected.get(product[0], (boards.generation(device).name,)), product
