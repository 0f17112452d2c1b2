# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what benchmarks measured into files of the controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import table
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import benchmark, benchmark_plot

OPTIONS = {
    "results": {"type": "list", "elements": "dict", "required": True},
    "compare": {"type": "list", "elements": "path", "default": []},
    "directory": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.benchmark_report``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        earlier: list[dict[str, Any]] = []
        for name in params["compare"]:
            try:
                earlier += json.loads(Path(name).read_text(encoding="utf-8"))
                benchmark.rows(earlier)
            except (OSError, KeyError, TypeError, ValueError) as broken:
                why = f"{type(broken).__name__} {broken}"
                return {
                    "failed": True,
                    "msg": f"{name} (benchmark_compare) is no result of a benchmark: {why}",
                }
        results = [*earlier, *params["results"]]
        picture = f"{params['name']}.svg" if benchmark_plot.HAS_MATPLOTLIB else ""
        texts = {
            # the new ones only: what was compared has files of its own
            f"{params['name']}.json": json.dumps(params["results"], indent=2) + "\n",
            f"{params['name']}.md": benchmark.markdown(results, picture),
        }
        if picture:
            texts[picture] = benchmark_plot.svg(results)
        folder = Path(params["directory"])
        if not self._task.check_mode:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
        return {
            "changed": True,
            "table": table(benchmark.rows(results)),
            "cautions": benchmark.cautions(results),
            "files": [str(folder / name) for name in texts],
        }
