# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``options | fullrank.serving.engine_files``: what a rank reads of its node beside the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import OPTIONS
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render


def engine_files(options: Mapping[str, Any]) -> list[dict[str, str]]:
    """Options of `engine_command`, as far as they are known → path and where it was named. Mistakes are no concern here."""
    checked = ArgumentSpecValidator(OPTIONS).validate(dict(options))
    if checked.error_messages:
        raise AnsibleFilterError("\n".join(checked.error_messages))
    params = checked.validated_parameters
    return list(render(params, read_catalog(params["engine"]))["reads"])


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"engine_files": engine_files}
