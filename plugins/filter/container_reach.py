# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What further words for a container runtime give the container of its node, for the checks of roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.docker import confinement


def reach(words: list[str], runtime: str = "") -> list[str]:
    return confinement.beyond([str(word) for word in words], runtime=runtime)


class FilterModule:
    """The filter ``fullrank.serving.container_reach``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"container_reach": reach}
