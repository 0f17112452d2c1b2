# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""promtool of Debian's package, unpacked by tests/monitoring/build."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rule_files import CHECKOUT, EVERY_S, FILES

PROMTOOL = CHECKOUT / ".cache/monitoring/usr/bin/promtool"


@pytest.fixture
def promtool(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Let promtool evaluate all rules over series and compare what expressions give, at a time in minutes."""

    def run(series: dict[str, str], expected: dict[str, list[tuple[str, float]]], minutes: int = 20) -> Any:
        test = {
            "rule_files": [str(FILES / "rules.yml"), str(FILES / "alerts.yml")],
            "evaluation_interval": f"{EVERY_S}s",
            "tests": [
                {
                    "interval": f"{EVERY_S}s",
                    "input_series": [{"series": name, "values": values} for name, values in series.items()],
                    "promql_expr_test": [
                        {
                            "expr": expression,
                            "eval_time": f"{minutes}m",
                            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
                        }
                        for expression, samples in expected.items()
                    ],
                }
            ],
        }
        file = tmp_path / "test.yml"
        file.write_text(yaml.safe_dump(test, sort_keys=False, width=1000))
        return subprocess.run(
            [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
        )

    return run
