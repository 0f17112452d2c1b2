# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Over what NCCL really sends, read from its log (NCCL_DEBUG=INFO). Pure; private to this collection.

Recorded lines with their sources are in tests/unit/data/nccl_log/lines.yml.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

# "Channel 00/0 : 0[0] -> 1[0] [send] via NET/IB/4/GDRDMA" ("Ring" up to 2.4); a network plugin's name may hold blanks
_CHANNEL = re.compile(r"NCCL INFO (?:Channel|Ring) .*\[(?:send|receive)\] via NET/(?P<net>[^/]+)/\d+(?P<gdr>/GDRDMA)?")
_CHOSEN = re.compile(r"NCCL INFO Using network (?P<net>.+?)\s*$")
_WHY = re.compile(
    r"NCCL INFO (?P<why>NET/IB : No device found\.?|Failed to open libibverbs\S*|NCCL_IB_DISABLE set .*1)"
)

SOCKET = "Socket"
"""NCCL's own name of its TCP transport (src/transport/net_socket.cc); every other network is RDMA of some kind."""


def networks(text: str) -> dict[str, Any]:
    """What the log contains about traffic between nodes.

    ``used``: network → number of channels over it, or 0 where only the choice was logged. ``gdr``: channels that go from the
    HCA to the GPU directly. ``why``: lines with the reason why RDMA is not used.
    """
    used: Counter[str] = Counter()
    gdr = 0
    for line in text.splitlines():
        if chosen := _CHOSEN.search(line):
            used[chosen["net"]] += 0
        elif channel := _CHANNEL.search(line):
            used[channel["net"]] += 1
            gdr += bool(channel["gdr"])
    why = dict.fromkeys(found["why"].strip() for found in _WHY.finditer(text))
    return {"used": dict(used), "gdr": gdr, "why": list(why)}
