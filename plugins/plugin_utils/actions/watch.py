# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching work on a node from the controller: a short call of the module again and again, until the work has ended.

The work is a unit on the node, so a connection that breaks ends nothing, and neither does one that breaks here for a while.
Private to this collection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.progress import Reporter

SOONEST_S, LATEST_S, SHARE = 1.0, 10.0, 0.05
"""The next call comes after this share of the time so far, within these bounds: watching costs little, and ends soon after the
work."""
LOST_S = 120.0
"""How long a node may be unreachable."""

Answer = dict[str, Any]


class Watch:
    """One task's watch over one node.

    show: prints a line on the controller, e.g. ``Display().display``. host: the node, the beginning of each line.
    limit_s: seconds after which `answers` ends although the work has not. lost_s: seconds without a connection after which
    its failure is raised; a node that was never reached is not waited for. reached: whether an earlier task reached it.
    """

    def __init__(
        self,
        show: Callable[[str], None],
        host: str,
        *,
        limit_s: float,
        lost_s: float = LOST_S,
        every_s: float = 10.0,
        reached: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.show, self.host, self.limit_s, self.lost_s = show, host, limit_s, lost_s
        self.clock, self.sleep, self.reached = clock, sleep, reached
        self.reporter = Reporter(every_s)
        self.began = clock()

    @property
    def waited(self) -> float:
        """Seconds since the watch began."""
        return self.clock() - self.began

    def answers(self, look: Callable[[], Answer]) -> Iterator[Answer]:
        """What ``look`` returns, again and again; the caller leaves when it has seen the end. Ends after ``limit_s``.

        Raises AnsibleConnectionFailure when the node cannot be reached for ``lost_s``.
        """
        lost: float | None = None
        while True:
            try:
                answer = look()
            except AnsibleConnectionFailure as error:
                lost = self.waited if lost is None else lost
                if not self.reached or self.waited - lost >= self.lost_s:
                    raise
                self.report("lost", f"no connection, trying again: {error}")
            else:
                lost, self.reached = None, True
                yield answer
            if self.waited >= self.limit_s:
                return
            self.sleep(min(LATEST_S, max(SOONEST_S, SHARE * self.waited)))

    def report(self, phase: str, text: str, before: str = "") -> None:
        """Show a line, if it is time for one. before: stands before ``text``, and does not count as a change of it."""
        if self.reporter.due(self.waited, phase, text):
            self.show(f"  {self.host}: {before}{text}")
