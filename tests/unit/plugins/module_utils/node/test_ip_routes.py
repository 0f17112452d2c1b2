# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What iproute2 prints about routes and addresses."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node import ip_routes

ADDRESSES = """[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
 {"ifname":"eth0","addr_info":[{"family":"inet","local":"192.0.2.7","prefixlen":24},{"family":"inet6","local":"fe80::1"}]},
 {"ifname":"eth1","addr_info":[{"family":"inet","local":"10.0.0.7","prefixlen":16}]}, {"ifname":"eth2"}]"""


@pytest.mark.parametrize(
    ("text", "route"),
    [
        (
            '[{"dst":"10.77.0.12","dev":"eth0","prefsrc":"10.77.0.11","flags":[],"uid":0,"cache":[]}]',
            ("eth0", "10.77.0.11"),
        ),
        ('[{"dst":"10.1.2.3","gateway":"10.77.0.2","dev":"bond0","prefsrc":"10.77.0.11"}]', ("bond0", "10.77.0.11")),
    ],
)
def test_the_route_to_a_peer(text: str, route: tuple[str, str]) -> None:
    assert ip_routes.route(text) == {"interface": route[0], "address": route[1]}


@pytest.mark.parametrize("text", ["", "[]", '[{"type":"unreachable","dst":"10.9.9.9"}]'])
def test_no_way_to_a_peer(text: str) -> None:
    assert ip_routes.route(text) == {}


def test_the_address_inside_a_network() -> None:
    assert ip_routes.within(ADDRESSES, "10.0.0.0/16") == [{"interface": "eth1", "address": "10.0.0.7"}]
    assert ip_routes.within(ADDRESSES, "172.16.0.0/12") == []


def test_a_network_must_be_one() -> None:
    with pytest.raises(ValueError, match="host bits set"):
        ip_routes.within(ADDRESSES, "10.0.0.7/16")
