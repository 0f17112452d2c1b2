# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a node's clock is off, as far as one question to it can tell. Pure.

A question leaves at ``sent`` and its answer arrives at ``received`` (controller's clock); in between the node works from
``started`` to ``ended`` (its own clock). What happened between is known in order, not in time: opening a connection to a
busy node takes seconds. So there are bounds: the node's clock is ahead by ``started - sent`` at most, and by
``ended - received`` at least. Only what lies outside the limit by both bounds is called wrong.

Source: the reasoning of RFC 5905 (NTP), section 8, without its assumption that both ways take equally long.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, passed, skipped

KEYS = ("sent", "started", "ended", "received")


@dataclass(frozen=True)
class Offset:
    """Seconds that a node's clock is ahead of the controller's: at least and at most."""

    least: float
    most: float


def offset(clock: Mapping[str, Any]) -> Offset | None:
    """The bounds out of the four times, in seconds since the epoch; None where one of them is missing."""
    if any(clock.get(key) is None for key in KEYS):
        return None
    sent, started, ended, received = (float(clock[key]) for key in KEYS)
    return Offset(ended - received, started - sent)


def check_node(clock: Mapping[str, Any], limit: float) -> Finding:
    """One node against the controller."""
    code, where, known = "clock-skew", "clock", offset(clock)
    if known is None:
        return skipped(code, where, "the times are not known")
    remedy, data = "start chrony or systemd-timesyncd and let it step", asdict(known)
    if known.least > limit:
        message = f"at least {known.least:.1f} s ahead of the controller's ({limit:g} s are allowed)"
        return failed(code, where, message, remedy, **data)
    if known.most < -limit:
        message = f"at least {-known.most:.1f} s behind the controller's ({limit:g} s are allowed)"
        return failed(code, where, message, remedy, **data)
    return passed(code, where, f"not seen to be more than {limit:g} s off", **data)


def check_nodes(clocks: Mapping[str, Mapping[str, Any]], limit: float) -> Finding:
    """The nodes of a deployment against each other: node → its clock. The controller's own error cancels out."""
    code, where = "clock-equal", "clocks"
    known = {host: found for host, clock in clocks.items() if (found := offset(clock))}
    if len(known) < 2:
        return skipped(code, where, "known on fewer than two nodes")
    ahead = max(known, key=lambda host: known[host].least)
    behind = min(known, key=lambda host: known[host].most)
    apart = known[ahead].least - known[behind].most
    if apart > limit:
        message = f"at least {apart:.1f} s between {ahead} and {behind} ({limit:g} s are allowed)"
        return failed(code, where, message, "let all nodes keep time by the same servers")
    return passed(code, where, f"not seen to be more than {limit:g} s apart")
