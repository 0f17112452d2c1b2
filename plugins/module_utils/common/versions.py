# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers that a version begins with: the order of kernels, drivers, CUDA, and of engine releases in the tables.

Two other orders exist: `packages.versions.debian_key` for package versions (epoch, ``~``, revision), and PEP 440 in
`catalog.versions` for what pip installs (``1.0rc1`` before ``1.0``). Pure; private to this collection.
"""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)", re.ASCII)


def numbers(text: object) -> tuple[int, ...]:
    """The leading dotted numbers as a tuple that compares; () when there are none.

    >>> numbers("5.15.0-130-generic") >= numbers("5.12")
    True
    >>> [numbers(one) for one in ("v0.5.6.post1", "0.20rc1", 12.8, "main", None)]
    [(0, 5, 6), (0, 20), (12, 8), (), ()]
    """
    found = _NUMBERS.match(str(text or ""))
    return tuple(int(one[:18]) for one in found[1].split(".")) if found else ()
