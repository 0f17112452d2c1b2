# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark as a picture, by matplotlib where it is installed. Pure; private to this collection."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.report.benchmark import levels

try:
    from matplotlib.figure import Figure

    HAS_MATPLOTLIB = True
except ImportError:
    HAS_MATPLOTLIB = False

PANELS = (
    ("output_tokens_per_s", "tokens per second"),
    ("ttft_ms", "time to the first token, ms"),
    ("itl_ms", "time between two tokens, ms"),
)


def svg(results: Sequence[Mapping[str, Any]]) -> str:
    """The levels of all results as lines with their spread, one panel for each number. Needs matplotlib (``HAS_MATPLOTLIB``)."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for result in results:
            points = [point for point in levels(result["runs"]) if name in point]
            middle = [point[name]["median"] for point in points]
            spread = [
                [point[name]["median"] - point[name]["min"] for point in points],
                [point[name]["max"] - point[name]["median"] for point in points],
            ]
            label = f"{result['deployment']} ({result['engine']})"
            axes.errorbar([p["concurrency"] for p in points], middle, yerr=spread, marker="o", capsize=3, label=label)
        axes.set_title(title)
        axes.set_xlabel("requests at a time")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    if results:
        axes.legend(fontsize="small")
    written = io.StringIO()
    figure.savefig(written, format="svg")
    return written.getvalue()
