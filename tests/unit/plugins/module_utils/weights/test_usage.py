# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be removed."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.weights import usage


def test_a_unit_uses_the_folder_that_it_names_and_what_is_inside() -> None:
    units = {
        "fullrank-rank@a.service": "ExecStart=/x serve /data/m --port 1",
        "fullrank-rank@b.service": "ExecStart=/x serve /data/m-2\n",
        "fullrank-rank@c.service": "ExecStart=/x --file /data/m/config.json",
    }
    assert usage.users("/data/m", units) == ["fullrank-rank@a.service", "fullrank-rank@c.service"]
    assert usage.users("/data/m-2/", units) == ["fullrank-rank@b.service"]
    assert usage.users("/data", units) == sorted(units)


def test_old_revisions_are_those_of_the_same_model_only() -> None:
    copies = {"/m/1": {"repo": "o/m"}, "/m/2": {"repo": "o/m"}, "/m/x": {"repo": "o/other"}}
    assert usage.old_revisions(copies, "o/m", ["/m/2/"]) == ["/m/1"]
