# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of an NCCL environment, as YAML gives them."""

from __future__ import annotations

from typing import Any


def as_env_value(value: Any) -> str | None:
    """A YAML scalar as the environment would carry it, or None where it cannot (a list, a mapping, nothing).

    A boolean is refused too: YAML's ``yes`` would reach NCCL as ``True``, which it reads as the number 0.
    """
    if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
        return None
    return str(value)
