# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and environments without the values whose names mark them as secret. Pure; private to this collection.

A plan is shown on a terminal, written to a file and kept by programs. Paths of files with secrets stay: they are no secret.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ansible_collections.fullrank.serving.plugins.module_utils.diagnose.redact import GONE, is_secret_name


def values(env: Mapping[str, str]) -> dict[str, str]:
    """An environment as it may be shown."""
    return {name: _value(name, value) for name, value in env.items()}


def words(argv: Sequence[str]) -> list[str]:
    """A command as it may be shown: of ``NAME=value``, ``--name=value`` and ``--name value``."""
    found: list[str] = []
    for word in argv:
        name, equals, value = word.partition("=")
        before = found[-1] if found else ""
        if equals and name.lstrip("-").replace("-", "_").isidentifier():
            found.append(f"{name}={_value(name.lstrip('-'), value)}")
        elif before.startswith("--") and "=" not in before and not word.startswith("-"):
            found.append(_value(before.lstrip("-"), word))
        else:
            found.append(word)
    return found


def line(text: str) -> str:
    """A line for a shell as it may be shown."""
    before = shlex.split(text)
    after = words(before)
    return text if after == before else shlex.join(after)


def _value(name: str, value: str) -> str:
    return GONE if value and is_secret_name(name) and not value.startswith(("/", "$", "%")) else value
