# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranks and containers that a stop of docker ends."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.docker import containers


def container(name: str, up: bool = True, policy: str = "no", remove: bool = False) -> dict[str, Any]:
    config = {"RestartPolicy": {"Name": policy}, "AutoRemove": remove}
    return {"Name": f"/{name}", "State": {"Running": up}, "HostConfig": config}


def test_who_is_harmed_by_a_stop() -> None:
    there = [
        container("fullrank-rank-a", remove=True),
        container("fullrank-rank-b"),
        container("web", policy="unless-stopped"),
        container("job"),
        container("gone", up=False),
    ]
    assert containers.engines(there, ["fullrank-rank@a.service"]) == ["fullrank-rank-b", "fullrank-rank@a.service"]
    assert containers.vanishing(there) == ["fullrank-rank-a"]
    assert containers.together(["fullrank-rank@a.service"], containers.vanishing(there)) == ["fullrank-rank@a.service"]
    assert containers.stay_down(there) == ["fullrank-rank-a", "fullrank-rank-b", "job"]
    assert containers.running(there) == ["fullrank-rank-a", "fullrank-rank-b", "job", "web"]
