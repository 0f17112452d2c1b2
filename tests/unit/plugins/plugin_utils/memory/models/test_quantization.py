# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``quantization_config`` in the words of each method."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.quantization import quantization


def test_methods() -> None:
    fp8 = quantization({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, {})
    assert (fp8.fp8, fp8.bits, fp8.block) == (True, 8, 128)
    awq = quantization({}, {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 64}})
    assert (awq.method, awq.bits, awq.group) == ("awq", 4, 64)
    assert quantization({}, {}).method == ""
