# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NCCL sends over, from recorded logs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import nccl_log
from places import DATA

RECORDED = yaml.safe_load((DATA / "nccl_log/lines.yml").read_text())


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_the_network_is_read_from_recorded_logs(case: dict[str, Any]) -> None:
    assert nccl_log.networks(case["text"]) == case["networks"]
