# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``text | fullrank.serving.pasted_command``: the variables of the deployments that a pasted command line starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.pasted import deployments


def pasted_command(text: str, version: str = "", nodes: int = 0) -> list[dict[str, Any]]:
    """Translate the text; a text without a command of an engine is an error."""
    try:
        return deployments(str(text), read_catalog, str(version), int(nodes))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pasted_command": pasted_command}
