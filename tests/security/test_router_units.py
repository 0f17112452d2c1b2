# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the units of a router may do, as systemd itself reckons it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from router_loopback import Engine, route

MOST = 5.0
"""systemd calls what is above it EXPOSED or worse."""


@pytest.mark.parametrize(("port", "balancer"), [(8080, {}), (443, {}), (8080, {"port": 18080, "runtime": "sglang"})])
def test_units_are_confined(tmp_path: Path, port: int, balancer: dict[str, object]) -> None:
    one = Engine("n1")
    own = {"port": port, "balancer": balancer and {**balancer, "argv": ["/opt/fullrank-smg/bin/smg"]}, "model": "tiny"}
    try:
        units = files.units(route([one], **own))
    finally:
        one.close()
    for name, text in units.items():
        (tmp_path / name).write_text(text)
        command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
        assert found, f"{done.stdout[-300:]} {done.stderr[-300:]}"
        assert float(found[1]) <= MOST, f"{name}: {found[1]}"
