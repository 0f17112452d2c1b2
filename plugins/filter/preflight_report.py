# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleTypeError
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.preflight import report


def preflight_report(answers: Any, max_skew_s: float = 5.0, routers: Any = None) -> dict[str, Any]:
    if not isinstance(answers, Mapping):
        raise AnsibleTypeError(f"a dictionary of node names and answers is needed, not {type(answers).__name__}")
    return report(answers, max_skew_s, routers)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_report": preflight_report}
