# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's change as Ansible shows it with ``--diff``, without what is secret. Pure; private to this collection."""

from __future__ import annotations

State = tuple[str, int]
"""Content and permissions; 0 for permissions that are not known."""


def file_diff(path: object, before: State | None, after: State | None, *, secret: bool = False) -> dict[str, str]:
    """One entry of a module's ``diff``. before, after: None where there is no file. secret: content is replaced by a remark.

    >>> file_diff("/etc/key", ("old", 0o600), ("new", 0o600), secret=True)["after"]
    '(not shown, changed)\\n'
    """
    old, new = (state[0] if state else "" for state in (before, after))
    if secret:
        changed = ", changed" if old and old != new else ""
        old, new = old and "(not shown)\n", new and f"(not shown{changed})\n"
    return {
        "before_header": f"{path}{_mode(before)}",
        "after_header": f"{path}{_mode(after)}" if after else f"{path} (removed)",
        "before": old,
        "after": new,
    }


def _mode(state: State | None) -> str:
    return f" (mode {state[1]:04o})" if state and state[1] else ""
