# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run in tests: as a program of their own (`run_module`), or in this process (`call`), and stand-ins of programs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils.testing import patch_module_args
from places import CHECKOUT

Run = Callable[..., "tuple[int, str, str]"]


def run_module(name: str, args: dict[str, object], path: str = "") -> dict[str, object]:
    """The result of the module, run as a program of its own, as on a node. path: folders before the system's own in its PATH."""
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT / 'collections')!r})\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        f"from ansible_collections.fullrank.serving.plugins.modules.{name} import main\n"
        f"with patch_module_args({args!r}):\n    main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": f"{path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def call(module: ModuleType, check_mode: bool = False, **args: Any) -> dict[str, Any]:
    """The result of ``module.main()`` in this process, in diff mode, so that a test can replace what the module looks at.

    A failure is a result with ``failed``, as Ansible sees it. Values of options with ``no_log`` are masked as in a real run.
    """
    output = io.StringIO()
    with (
        patch_module_args({"_ansible_check_mode": check_mode, "_ansible_diff": True, **args}),
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    result: dict[str, Any] = json.loads(output.getvalue())
    return result


def program(folder: Path, name: str, script: str) -> Path:
    """A stand-in of a program: a shell script that first appends its command line to ``folder/calls``."""
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/calls\n{script}\n')
    path.chmod(0o755)
    return path


def calls(folder: Path) -> list[str]:
    """The command lines of the stand-ins in ``folder`` so far."""
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def only_programs(folder: Path) -> str:
    """A value of PATH that finds the stand-ins first."""
    return f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"
