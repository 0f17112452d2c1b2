# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which driver a CUDA version needs.

Sources: NVIDIA, "CUDA Compatibility", minor version compatibility
(https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html): any toolkit of a major release
runs, with limits, on the first driver of that release; and "CUDA Toolkit Release Notes", table "CUDA Toolkit and
Corresponding Driver Versions" (https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/): the driver of each toolkit.

PRIVATE to this collection.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers

# the first driver, on Linux, under which anything of that major release runs at all
MAJOR_MINIMUM = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}

# the driver that a toolkit came with; a newer toolkit under an older driver cannot load PTX that it compiled itself
TOOLKIT_DRIVER = {
    "11.8": "520.61.05",
    "12.0": "525.60.13",
    "12.1": "530.30.02",
    "12.2": "535.54.03",
    "12.3": "545.23.06",
    "12.4": "550.54.14",
    "12.5": "555.42.02",
    "12.6": "560.28.03",
    "12.8": "570.26",
    "12.9": "575.51.03",
    "13.0": "580.65.06",
    "13.1": "590.44.01",
}


def required(cuda: str) -> tuple[str | None, str | None]:
    """(minimum driver, driver of this toolkit) for a CUDA version; None for what is not in the tables.

    >>> required("12.8.1")
    ('525.60.13', '570.26')
    """
    release = numbers(cuda)
    if not release:
        return None, None
    return MAJOR_MINIMUM.get(release[0]), TOOLKIT_DRIVER.get(".".join(str(number) for number in release[:2]))
