# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the tables about engine logs that lie beside this file. All their I/O is here; private to this collection."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.failures import Signature
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.start_progress import Step

FOLDER = Path(__file__).parents[1] / "data"
# In this order a line is compared with them: what is harmless first, then the specific before the general
FAILURES = (
    "harmless",
    "vllm",
    "sglang",
    "ray",
    "nccl",
    "fabric",
    "docker",
    "options",
    "weights",
    "network",
    "cuda",
    "xid",
    "python",
    "systemd",
)


@cache
def failures() -> tuple[Signature, ...]:
    """The failure signatures, most specific first; read once per process."""
    found = [
        Signature.from_data(one)
        for name in FAILURES
        for one in yaml.safe_load((FOLDER / "failures" / f"{name}.yml").read_text(encoding="utf-8"))
    ]
    return tuple(sorted(found, key=lambda one: one.general))


@cache
def progress() -> tuple[Step, ...]:
    """The steps of a rank that starts; read once per process."""
    return tuple(Step.from_data(one) for one in yaml.safe_load((FOLDER / "progress.yml").read_text(encoding="utf-8")))
