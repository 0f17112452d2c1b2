# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of a rank, removed for certain. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

RUNTIMES = ("docker", "podman", "nerdctl")
REMOVALS = 3
PAUSE_S = 1.0


def remove(run: Callable[[Sequence[str]], tuple[int, str, str]], program: str, name: str) -> str:
    """Remove container ``name`` by the runtime's ``program``. Why it is still there; empty when it is gone or never was.

    A removal can meet that of the container's own end (``--rm``), which refuses it for a moment. run: AnsibleModule.run_command.
    """
    error = ""
    for _unused in range(REMOVALS):
        if run([program, "container", "inspect", name])[0]:
            return ""
        code, _unused_out, error = run([program, "rm", "--force", name])
        if code:
            time.sleep(PAUSE_S)
    if run([program, "container", "inspect", name])[0]:
        return ""
    return f"the container {name} is still there: {program} rm --force {name}: {error.strip()}"


def remove_all(
    run: Callable[[Sequence[str]], tuple[int, str, str]], find: Callable[[str], str | None], names: Iterable[str]
) -> str:
    """Remove containers of these names by every runtime that is here. find: name of a program → its path. Answers as `remove`."""
    programs = [found for one in RUNTIMES if (found := find(one))]
    return next((why for name in names for program in programs if (why := remove(run, program, name))), "")
