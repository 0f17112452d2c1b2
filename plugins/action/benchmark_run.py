# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Goes through the levels of a benchmark from the controller, and prints a line after each run."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import bench_clients
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import benchmark


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.benchmark_run``."""

    TRANSFERS_FILES = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, params = self.validate_argument_spec(argument_spec=bench_clients.OPTIONS)
        levels = [level for level in params["concurrency"] for _repeat in range(params["repeats"])]
        runs: list[dict[str, Any]] = []
        for number, level in enumerate(levels, 1):
            one = dict(self._task.args) | {"concurrency": [level], "seed": params["seed"] + number - 1}
            answer = self._execute_module(module_args=one, task_vars=task_vars)
            if answer.get("failed"):
                return result | answer | {"runs": runs}
            runs += answer["runs"]
            Display().display(f"  {params['deployment']}: run {number} of {len(levels)}: {benchmark.line(runs[-1])}")
        return result | {"changed": False, "runs": runs}
