# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the ranks of an epoch start, as a supervisor's configuration has it. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StartOrder:
    """The order in which the ranks of an epoch start, which the launch knows (plugin_utils/launch/start_order.py).

    together: all others as soon as the head's process runs; otherwise rank 1 when the head listens, and so on. port: at which
    the head listens within Limits.meet; 0 where it is not known to.
    """

    together: bool = False
    port: int = 1


def start_order(config: Mapping[str, Any]) -> StartOrder:
    """That of a supervisor's configuration. One of the version before has none: in order, by the port of the rendezvous."""
    known = config.get("start_order") or {"together": False, "port": config["rendezvous_port"]}
    return StartOrder(bool(known["together"]), int(known["port"] or 0))
