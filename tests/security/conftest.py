# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on what fullrank runs, each against the real program on loopback."""

from tests.unit import conftest as _conftest  # noqa: F401 - makes the collection importable
