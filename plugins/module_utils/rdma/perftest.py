# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ib_write_bw`` of perftest: its command line and its table. Pure; private to this collection."""

from __future__ import annotations

import re


def command(device: str, ib_port: int, tcp_port: int, seconds: int, peer: str = "") -> list[str]:
    """Waits for a client, or with ``peer`` sends to that server. Both ends need the same words (perftest's README)."""
    words = ["ib_write_bw", f"--ib-dev={device}", f"--ib-port={ib_port}", f"--port={tcp_port}", f"--duration={seconds}"]
    # several queue pairs, as NCCL has them: one does not fill 400 Gbit/s
    words += ["--report_gbits", "--CPU-freq", "--qp=4", "--size=1048576"]
    return [*words, peer] if peer else words


def parse(text: str) -> float | None:
    """Average Gbit/s of the last row; None where there is no result.

    The unit is in the head: MB/sec are 2^20 bytes (perftest_parameters.h), the others 10^9 bits.
    """
    head = re.search(r"BW average\[(Gb|MB)/sec\]", text)
    rows = re.findall(r"^\s*\d+\s+\d+\s+[\d.]+\s+([\d.]+)\s+[\d.]+\s*$", text, re.MULTILINE)
    if head is None or not rows:
        return None
    return float(rows[-1]) * (1 if head[1] == "Gb" else 2**20 * 8 / 1e9)
