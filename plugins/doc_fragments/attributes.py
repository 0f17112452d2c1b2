# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules that change nothing have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """``fullrank.serving.attributes``: reads a node; ``fullrank.serving.attributes.controller``: runs on the controller."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

    CONTROLLER = r"""
options: {}
attributes:
  check_mode:
    description: Changes nothing anywhere.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
  action:
    description: Runs on the controller, without a connection to the node unless the description tells otherwise.
    support: full
"""
