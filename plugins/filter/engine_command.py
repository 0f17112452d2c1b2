# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``options | fullrank.serving.engine_command``: the launch of one rank, for templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import OPTIONS
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import mistakes, render


def engine_command(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options as the module does and render the launch; every mistake at once in one error."""
    checked = ArgumentSpecValidator(OPTIONS).validate(dict(options))
    if checked.error_messages:
        raise AnsibleFilterError("\n".join(checked.error_messages))
    launch = render(checked.validated_parameters, read_catalog(checked.validated_parameters["engine"]))
    if message := mistakes(launch):
        raise AnsibleFilterError(message)
    return launch


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"engine_command": engine_command}
