# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make ``ansible_collections.fullrank.serving`` importable, as the unit tests do."""

from tests.unit import conftest as _conftest  # noqa: F401
