# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of one engine that exclude each other, as a table: known only to the checks behind the engine's parser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.parallelism.sizes import Parallel


@dataclass(frozen=True)
class Conflict:
    """One check of an engine.

    when: true when the engine would refuse; it gets the request, what stands on the command line (canonical name in snake
    case → value) and the parallel sizes that this means. where: the option that is named. since, until: first and last version
    in which the check was read; empty for all.
    """

    code: str
    when: Callable[[Request, Mapping[str, Any], Parallel], Any]
    where: str
    message: str
    remedy: str
    source: str
    since: str = ""
    until: str = ""

    def covers(self, version: Version) -> bool:
        """Whether the engine of this version makes the check."""
        late_enough = not self.since or version >= Version(self.since)
        return late_enough and (not self.until or version <= Version(self.until))


def found(
    table: Iterable[Conflict], request: Request, version: str, values: Mapping[str, Any], sizes: Parallel
) -> Iterator[Finding]:
    """The conflicts of a launch."""
    running = Version(version)
    for conflict in table:
        if conflict.covers(running) and conflict.when(request, values, sizes):
            own = conflict.where in request.__dataclass_fields__
            where = request.variable(conflict.where) if own else f"{request.variable('engine_args')}.{conflict.where}"
            yield failed(conflict.code, where, f"{request.engine} {version}: {conflict.message}", conflict.remedy)
