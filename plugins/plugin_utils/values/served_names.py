# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names by which clients call a model: the first is its name, the others are aliases. Pure; private to this collection."""

from __future__ import annotations

from typing import Any


def served_names(value: Any) -> tuple[str, ...]:
    """The names in a list, or in one text with blanks between them, as a command line has them; each once.

    >>> served_names("deepseek gpt-4"), served_names(["deepseek", "gpt-4"]), served_names(None)
    (('deepseek', 'gpt-4'), ('deepseek', 'gpt-4'), ())
    """
    items = value if isinstance(value, (list, tuple)) else [value]
    words = [word for item in items if item is not None for word in str(item).split()]
    return tuple(dict.fromkeys(words))
