# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Writes what benchmarks measured into files of the controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fullrank.serving.plugins.plugin_utils import benchmark, benchmark_plot
from ansible_collections.fullrank.serving.plugins.plugin_utils.preflight_text import table

OPTIONS = {
    "results": {"type": "list", "elements": "dict", "required": True},
    "compare": {"type": "list", "elements": "path", "default": []},
    "directory": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
}


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.benchmark_report``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, given = self.validate_argument_spec(argument_spec=OPTIONS)
        earlier: list[dict[str, Any]] = []
        for name in given["compare"]:
            try:
                earlier += json.loads(Path(name).read_text(encoding="utf-8"))
                benchmark.rows(earlier)
            except (OSError, KeyError, TypeError, ValueError) as broken:
                why = f"{type(broken).__name__} {broken}"
                return result | {
                    "failed": True,
                    "msg": f"{name} (benchmark_compare) is no result of a benchmark: {why}",
                }
        results = [*earlier, *given["results"]]
        picture = f"{given['name']}.svg" if benchmark_plot.HAS_MATPLOTLIB else ""
        texts = {
            # the new ones only: what was compared has files of its own
            f"{given['name']}.json": json.dumps(given["results"], indent=2) + "\n",
            f"{given['name']}.md": benchmark.markdown(results, picture),
        }
        if picture:
            texts[picture] = benchmark_plot.svg(results)
        folder = Path(given["directory"])
        if not self._task.check_mode:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
        return result | {
            "changed": True,
            "table": table(benchmark.rows(results)),
            "cautions": benchmark.cautions(results),
            "files": [str(folder / name) for name in texts],
        }
