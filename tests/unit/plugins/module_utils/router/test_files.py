# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a router on its node."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from router_samples import SERVER, SMG, WITH_KEYS, key


def test_the_unit_needs_no_account_and_no_capability_but_for_a_low_port() -> None:
    text = files.unit(WITH_KEYS)
    for line in ("DynamicUser=yes", "SupplementaryGroups=fullrank-keys", "CapabilityBoundingSet="):
        assert line in text.splitlines()
    assert "ExecStart=/usr/sbin/haproxy -Ws -f /etc/fullrank/router/tiny.cfg" in text.splitlines()
    assert "CAP_NET_BIND_SERVICE" not in text
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in files.unit({**WITH_KEYS, "port": 443})


def test_smg_has_a_unit_of_its_own_and_a_worker_for_each_replica() -> None:
    route = {**WITH_KEYS, "servers": [SERVER, {**SERVER, "name": "n2"}], "balancer": SMG}
    assert set(files.units(route)) == {"fullrank-router@tiny.service", "fullrank-smg@tiny.service"}
    assert set(files.units(WITH_KEYS)) == {"fullrank-router@tiny.service"}
    text = files.balancer_unit(route)
    assert "ExecStart=/opt/smg/bin/smg launch" in text.splitlines()
    assert "register.py 18080 " in text
    assert text.count("http://127.0.0.1:1808") == 2 and "192.0.2.1" not in text


def test_the_digest_follows_everything_that_an_instance_goes_by() -> None:
    text = files.configuration(WITH_KEYS, "tiny.keys 1", 4)
    digest = files.digest_in(text)
    assert len(digest) == 64
    assert files.digest_in(files.configuration(WITH_KEYS, "tiny.keys 1", 4)) == digest
    others = [
        files.configuration(WITH_KEYS, "tiny.keys 2", 4),
        files.configuration(WITH_KEYS, "tiny.keys 1", 2),
        files.configuration({**WITH_KEYS, "timeout": 7}, "tiny.keys 1", 4),
    ]
    assert digest not in map(files.digest_in, others)


def test_of_clients_there_are_hashes_and_of_the_engine_its_key() -> None:
    texts = files.secrets("tiny", [key("engine", "the-engines-key"), key("team-a")])
    assert texts["/etc/fullrank/router/tiny.engine"] == "key the-engines-key\n"
    lines = texts["/etc/fullrank/router/tiny.keys"].splitlines()
    assert [line.split()[1] for line in lines] == ["engine", "team-a"]
    assert "the-engines-key" not in texts["/etc/fullrank/router/tiny.keys"]
    assert files.secrets("tiny", []) == {}


def test_the_programs_stand_alone() -> None:
    texts = files.programs()
    assert set(texts) == {"/usr/local/lib/fullrank/router/router.lua", "/usr/local/lib/fullrank/router/register.py"}
    compile(texts["/usr/local/lib/fullrank/router/register.py"], "register.py", "exec")


def test_the_record_is_the_route() -> None:
    assert '"name": "tiny"' in files.record(WITH_KEYS)
