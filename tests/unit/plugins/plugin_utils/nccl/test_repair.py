# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists as people write them, and what NCCL would have to be given."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl import repair
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.repair import repaired
from nccl_machines import machine

WRITTEN = [
    ("mlx5_0/1", "=mlx5_0:1"),
    ("=mlx5_0/1,mlx5_1/1", "=mlx5_0:1,mlx5_1:1"),
    ("mlx5_[0-3]", "=mlx5_0,mlx5_1,mlx5_2,mlx5_3"),
    ("mlx5_{0..2}", "=mlx5_0,mlx5_1,mlx5_2"),
    ("mlx5_[0,2-3]", "=mlx5_0,mlx5_2,mlx5_3"),
    ("mlx5_[0-1]:1", "=mlx5_0:1,mlx5_1:1"),
    ("mlx5_0-3", "=mlx5_0,mlx5_1,mlx5_2,mlx5_3"),
    ("mlx5_0-mlx5_2", "=mlx5_0,mlx5_1,mlx5_2"),
    ("mlx5_*", "mlx5_"),
    ("mlx5_0;mlx5_1", "=mlx5_0,mlx5_1"),
    ("mlx5_0 mlx5_1", "=mlx5_0,mlx5_1"),
    ("mlx5_0|mlx5_1", "=mlx5_0,mlx5_1"),
    ("'mlx5_0,mlx5_1'", "=mlx5_0,mlx5_1"),
    ("^=mlx5_0,^=mlx5_1", "^=mlx5_0,mlx5_1"),
    ("=^mlx5_0", "^=mlx5_0"),
    ("[mlx5_0, mlx5_1]", "=mlx5_0,mlx5_1"),
]


@pytest.mark.parametrize(("written", "meant"), WRITTEN)
def test_what_was_meant_is_offered(written: str, meant: str) -> None:
    assert repaired(written) == meant
    (found,) = [f for f in nccl_lint({"NCCL_IB_HCA": written}) if f["severity"] == "fail"]
    assert (found["code"], found["remedy"]) == ("invalid-list", f"write {meant}")
    assert nccl_lint({"NCCL_IB_HCA": meant}) == []


@pytest.mark.parametrize("written", ["", "^", "=", ",,", "==", "[]"])
def test_of_nothing_nothing_is_made(written: str) -> None:
    assert repaired(written) == ""


def test_only_names_that_exist_are_offered() -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_2", "rate": 200}])
    (found,) = nccl_lint({"NCCL_IB_HCA": "mlx5_[0-7]"}, {"facts": facts})
    assert found["remedy"] == "write =mlx5_0,mlx5_1,mlx5_2"
    (found,) = nccl_lint({"NCCL_IB_HCA": "ibp[0-7]"}, {"facts": facts})
    assert found["remedy"].startswith("name devices of this node")


def test_a_range_that_is_none_stays() -> None:
    assert nccl_lint({"NCCL_IB_HCA": "mlx5_[7-3]"})[0]["data"] == {"env": {"NCCL_IB_HCA": None}}


def test_the_examples_hold() -> None:
    assert doctest.testmod(repair).failed == 0
