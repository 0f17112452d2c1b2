# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make ``ansible_collections.fullrank.serving`` importable from the checkout, by Ansible's own loader."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

CHECKOUT = Path(__file__).resolve().parents[2]

init_plugin_loader([str(CHECKOUT / "collections")])
