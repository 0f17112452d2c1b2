# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that are really installed, asked through their own interpreters; and how Hypothesis runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# how fast a machine is decides no test
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

CHECKOUT = Path(__file__).resolve().parents[1]
PARSER = CHECKOUT / "tests/engines/installed_parser.py"
DESCRIBE = CHECKOUT / "tools/catalog/describe.py"
OWN_VARIABLES = ("CUDA_", "HF_", "LMDEPLOY_", "NCCL_", "RAY_", "SGLANG_", "SGL_", "VLLM_")
"""What engines read their defaults from; the caller's must not decide here."""
ENVIRONMENT = {"ray": "VLLM"}  # Ray is installed beside vLLM
LIMIT_S = 180


class InstalledEngine:
    """A conversation with the parser of an engine: one start of its interpreter, which takes seconds to import torch.

    version: without its local part. options: as `tools/catalog/describe.py` gives them.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        first = self._answer()
        self.version: str = first["version"].partition("+")[0]
        self.options: list[dict[str, Any]] = first["options"]

    def _answer(self) -> Any:
        guard = Timer(LIMIT_S, self._process.kill)
        guard.start()
        try:
            line = self._process.stdout.readline()
        finally:
            guard.cancel()
        assert line, f"{self._process.args} ended or took more than {LIMIT_S} s; its messages are on standard error"
        return json.loads(line)

    def objections(self, command_lines: list[list[str]]) -> list[str]:
        """The parser's error for each list of arguments; "" for one that it accepts."""
        print(json.dumps(command_lines), file=self._process.stdin, flush=True)
        return list(self._answer())


@pytest.fixture(scope="session")
def installed() -> Iterator[Callable[[str], InstalledEngine]]:
    """By engine name; skips where no interpreter is named."""
    with ExitStack() as running:

        @cache
        def start(engine: str) -> InstalledEngine:
            variable = f"FULLRANK_{ENVIRONMENT.get(engine, engine.upper())}_PYTHON"
            if variable not in os.environ:
                pytest.skip(f"{variable} does not name the interpreter of an environment with {engine} (make engines)")
            environment = {key: value for key, value in os.environ.items() if not key.startswith(OWN_VARIABLES)}
            command = [os.environ[variable], str(PARSER), str(DESCRIBE), engine]
            pipe = subprocess.PIPE
            process = running.enter_context(
                subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
            )
            return InstalledEngine(process)

        yield start
