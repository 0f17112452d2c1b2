# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a start in a supervisor's configuration; that of a launch has its test in launch/test_start_order.py."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.start_order import StartOrder, start_order


def test_a_configuration_of_the_version_before_starts_in_order() -> None:
    assert start_order({"rendezvous_port": 29500}) == StartOrder(together=False, port=29500)
    assert start_order({"rendezvous_port": None}).port == 0


def test_a_head_that_listens_on_no_port_has_none() -> None:
    assert start_order({"start_order": {"together": True, "port": None}}) == StartOrder(together=True, port=0)
