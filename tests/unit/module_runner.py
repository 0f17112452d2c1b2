# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module run as a program of its own, as on a node."""

from __future__ import annotations

import json
import subprocess
import sys

from places import CHECKOUT


def run_module(name: str, args: dict[str, object], path: str = "") -> dict[str, object]:
    """The module as a program of its own, with its arguments on stdin, as on a node."""
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT / 'collections')!r})\n"
        "from ansible.module_utils import basic\n"
        "basic._ANSIBLE_PROFILE = 'legacy'\n"
        f"from ansible_collections.fullrank.serving.plugins.modules.{name} import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": args}),
        env={"PATH": f"{path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result
