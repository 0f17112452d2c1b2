# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drivers that versions of CUDA need."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import cuda as nvidia_cuda


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        ("12.8", ("525.60.13", "570.26")),
        ("12.8.1", ("525.60.13", "570.26")),
        ("13.0", ("580.65.06", "580.65.06")),
        ("12.7", ("525.60.13", None)),
        ("9.0", (None, None)),
        ("", (None, None)),
    ],
)
def test_driver_of_a_cuda_version(cuda: str, expected: tuple[str | None, str | None]) -> None:
    assert nvidia_cuda.required(cuda) == expected


def test_every_toolkit_driver_serves_its_major_release() -> None:
    for cuda, driver in nvidia_cuda.TOOLKIT_DRIVER.items():
        assert numbers(driver) >= numbers(nvidia_cuda.MAJOR_MINIMUM[int(cuda.split(".")[0])])
