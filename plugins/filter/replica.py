# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host stands in its deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import place


def replica(deployment: str, hosts: list[str], host: str, replicas: int = 1) -> dict[str, Any]:
    try:
        return place(deployment, hosts, host, int(replicas))
    except ValueError as error:
        raise AnsibleFilterError(f"deployment {deployment}, engine_replicas {replicas}: {error}") from error


class FilterModule:
    """The filter ``fullrank.serving.replica``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"replica": replica}
