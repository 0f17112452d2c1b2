# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleTypeError
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.rdma import report


def rdma_report(answers: Any) -> dict[str, Any]:
    if not isinstance(answers, Mapping):
        raise AnsibleTypeError(f"a dictionary of node names and answers is needed, not {type(answers).__name__}")
    return report(answers)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rdma_report": rdma_report}
