# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit of a node's part in a transfer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import request
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import Worker
from transient_standin import properties

PART: dict[str, Any] = {"timeout": 60, "port": 7000, "rsh": "", "upstreams": [{}]}
ROOT = Worker(0, 0, "why")


WORKER = Worker(61000, 61000)


def command(worker: Worker = WORKER, **changes: Any) -> list[str]:
    return transient.start_command(request.unit("/srv/a", PART | changes, "/usr/bin/python3", worker))


def test_each_folder_has_a_unit_and_the_token_is_not_on_its_command_line() -> None:
    assert request.transfer_id("/srv/a") != request.transfer_id("/srv/b")
    assert command()[-1] == f"{request.part_folder('/srv/a')}/config.json"


def test_it_writes_to_the_model_and_its_progress_and_its_secret_goes_with_it() -> None:
    found = [word.partition("=")[2] for word in command() if word.startswith("--property=ReadWritePaths")]
    assert found == ["ReadWritePaths=/srv/a", f"ReadWritePaths={request.progress_folder('/srv/a')}"]
    found = [word.partition("=")[2] for word in command(upstreams=[]) if word.startswith("--property=ReadWritePaths")]
    assert found == [f"ReadWritePaths={request.progress_folder('/srv/a')}"]  # who has everything
    settings = properties(command())
    assert settings["MemoryMax"] == str(8 << 30)
    assert (settings["RuntimeMaxSec"], settings["RuntimeDirectory"]) == ("60", request.part_folder("/srv/a")[5:])


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({}, "CapabilityBoundingSet", ""),
        ({"worker": ROOT}, "CapabilityBoundingSet", "CAP_DAC_OVERRIDE CAP_FOWNER"),
        ({"port": 873}, "AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
        ({"port": 873, "worker": ROOT}, "CapabilityBoundingSet", "CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_BIND_SERVICE"),
        ({}, "ProtectHome", "yes"),
        ({"rsh": "ssh", "worker": ROOT}, "ProtectHome", "read-only"),  # the keys of root
        ({"rsh": "ssh", "worker": ROOT}, "SystemCallFilter", "@system-service"),  # ssh sets its user
        ({}, "SystemCallFilter", "@system-service ~@privileged"),
    ],
)
def test_more_is_allowed_only_where_it_is_needed(changes: dict[str, Any], name: str, value: str) -> None:
    assert properties(command(**changes))[name] == value
