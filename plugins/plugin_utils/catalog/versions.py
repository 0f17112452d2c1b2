# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and their order, as the package index has them (PEP 440). Pure; private to this collection.

They are packaging's, which ansible-core needs itself. Tools that only import plugins do so without what ansible-core needs.
"""

from __future__ import annotations

try:
    from packaging.version import InvalidVersion, Version
except ImportError:
    InvalidVersion = ValueError  # type: ignore[assignment,misc]
    Version = None  # type: ignore[assignment,misc]

__all__ = ["InvalidVersion", "Version"]
