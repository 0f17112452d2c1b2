# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and a port as one word, for roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import host_port as common_host_port


def host_port(host: str, port: int, *, on_this_machine: bool = False) -> str:
    """The host as others reach it, or what the program listens on as its own machine does."""
    return common_host_port.host_port(common_host_port.on_this_machine(host) if on_this_machine else host, port)


class FilterModule:
    """The filter ``fullrank.serving.host_port``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_port": host_port}
