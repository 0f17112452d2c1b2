# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extractions, repeated with more real modules until no stub of the engine's own package decides or leaks anything."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from typing import Any

from tools.catalog.engines import ENGINES
from tools.catalog.index import WheelFiles

ROUNDS = 25


class ExtractionError(Exception):
    """The parser of this version could not be built."""


def options_of(name: str, version: str) -> list[dict[str, Any]]:
    """The options of one engine version, as `describe` gives them."""
    engine = ENGINES[name]
    files = WheelFiles(engine.project, version)
    real: list[str] = []
    for _ in range(ROUNDS):
        run = subprocess.run(
            [sys.executable, "-m", "tools.catalog.child", name, version],
            input=json.dumps(real),
            capture_output=True,
            text=True,
            env=_environment(),
            timeout=600,
            check=False,
        )
        if run.returncode == 0:
            result = json.loads(run.stdout)
            # the part of an origin before the colon is the module that the stub stands for
            suspects = [origin.partition(":")[0] for origin in [*result["leaked"], *result["consulted"]]]
        else:
            suspects = _blamed(run.stderr, files, engine.package)
        more = [m for m in dict.fromkeys(suspects) if m.partition(".")[0] == engine.package and m not in real]
        more = [m for m in more if not m.startswith(engine.stubbed or "-")]
        if run.returncode == 0 and not [m for m in more if _has_source(m, files)]:
            return list(result["options"])
        if not more:
            raise ExtractionError(f"{name} {version}: {run.stderr[-3000:]}")
        real += more
    raise ExtractionError(f"{name} {version}: still not free of stubs after {ROUNDS} rounds: {real}")


def _environment() -> dict[str, str]:
    """This process's environment without what engines read their defaults from."""
    own = ("CUDA_", "HF_", "LMDEPLOY_", "NCCL_", "RAY_", "SGLANG_", "SGL_", "VLLM_")
    return {key: value for key, value in os.environ.items() if not key.startswith(own)} | {"PYTHONHASHSEED": "0"}


def _has_source(module: str, files: WheelFiles) -> bool:
    path = module.replace(".", "/")
    return f"{path}.py" in files.names or f"{path}/__init__.py" in files.names


def _blamed(stderr: str, files: WheelFiles, package: str) -> list[str]:
    """Real code tripped over a stub: the modules of the failing statement's names, or all its file imports."""
    frames = re.findall(rf'File "({package}/[^"]+\.py)", line (\d+)', stderr)
    missing = re.search(r"cannot import name '\w+' from '[\w.]+' \(([^)]+)\)", stderr)
    if missing:
        frames.append((missing[1], "0"))
    if not frames or frames[-1][0] not in files.names:
        return []
    path, line = frames[-1][0], int(frames[-1][1])
    tree = ast.parse(files.read(path))
    sources = _imported_names(tree, path, package)
    failing = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and not isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    used = {name.id for node in failing for name in ast.walk(node) if isinstance(name, ast.Name)}
    return sorted({sources[name] for name in used & set(sources)} or set(sources.values()))


def _imported_names(tree: ast.Module, path: str, package: str) -> dict[str, str]:
    """Name → the module of the package it is imported from."""
    folder = path.split("/")[:-1]
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.partition(".")[0] == package:
                found.update({alias.asname or alias.name: module for alias in node.names})
    return found
