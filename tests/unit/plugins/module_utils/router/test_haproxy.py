# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration, as text. That HAProxy takes it, and what it then does, is seen in tests/security."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy
from router_samples import SERVER, WITH_KEYS


def lines(**changes: Any) -> list[str]:
    route = {**WITH_KEYS, "servers": [SERVER], **changes}
    text = haproxy.configuration(route, run="/run/x", maps="/etc/x/tiny", program="/x.lua", digest="d", threads=64)
    return [line.strip() for line in text.splitlines()]


def place(found: list[str], part: str) -> int:
    return next(number for number, line in enumerate(found) if part in line)


def test_who_is_refused_is_refused_before_a_body_is_read() -> None:
    found = lines()
    order = [
        "acl malformed",
        "unless METH_POST served_POST",
        "return status 429",
        "return status 413",
        "return status 401",
        "wait-for-body",
    ]
    assert [place(found, part) for part in order] == sorted(place(found, part) for part in order)
    assert place(found, "status 401") < place(found, "set-header Authorization")


def test_the_engine_gets_its_key_from_a_file_and_always_the_same_host() -> None:
    found = lines()
    assert 'http-request set-header Authorization "Bearer %[str(key),map_str(/etc/x/tiny.engine)]"' in found
    assert "http-request set-header Host localhost" in found
    assert "http-request del-header Authorization" in lines(key=False, engine_key=False)
    assert not [line for line in lines(key=False, engine_key=False) if "status 401" in line]


def test_limits_of_a_key_are_rules_of_their_own() -> None:
    teams = [{"name": "a", "concurrency": 4, "rate": 0}, {"name": "b", "concurrency": 0, "rate": 60}]
    found = [one for one in lines(teams=teams) if "var(txn.team) -m str" in one and "return status 429" in one]
    assert ["sc1_conn_cur gt 4" in found[0], "sc1_gpc0_rate ge 60" in found[1], len(found)] == [True, True, 2]
    assert haproxy.keys({**WITH_KEYS, "teams": teams}) == ["none", "engine", "a", "b"]
    assert haproxy.keys({**WITH_KEYS, "key": False}) == ["none", "open"]
    assert not [line for line in lines() if "track-sc1" in line]


def test_refused_requests_count_for_no_rate_and_learn_when_to_come_again() -> None:
    teams = [{"name": name, "concurrency": 0, "rate": rate} for name, rate in (("a", 7), ("b", 1), ("c", 600))]
    found = lines(teams=[*teams, {"name": "d", "concurrency": 0, "rate": 0}], address_rate=59)
    refusals = [one for one in found if one.startswith("http-request return status 429")]
    assert [one.partition("Retry-After ")[2].split()[0] for one in refusals] == ["2", "9", "60", "1"]
    assert (
        place(found, "sc0_gpc0_rate ge 59") < place(found, "http-request sc-inc-gpc0(0)") < place(found, "status 401")
    )
    assert (
        place(found, "sc1_gpc0_rate ge 600") < place(found, "http-request sc-inc-gpc0(1)") < place(found, "del-header")
    )
    assert "http-request track-sc1 var(txn.team) table teams if { var(txn.team) -m str a c }" in found
    tables = [one for one in found if one.startswith("stick-table")]
    assert [one.rpartition("gpc0_rate")[2] for one in tables] == ["(60s)", "(60s)", "(30s)"]
    assert [one for one in lines() if one.startswith("stick-table")] == tables[:1]
    assert not [one for one in lines(key=False, engine_key=False, teams=teams) if "sc1" in one or "(1)" in one]


def test_no_header_that_steers_an_engine_goes_on() -> None:
    found = lines()
    assert (
        place(found, "set-var(txn.request_id)") < place(found, "del-header x- -m beg") < place(found, "set-header X-")
    )
    assert "http-request del-header _ -m sub" in found


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"host": "::"}, "bind [::]:8080"),
        ({"tls": True}, "bind 0.0.0.0:8080 ssl crt /etc/x/tiny.pem ssl-min-ver TLSv1.2 alpn http/1.1"),
        ({"timeout": 7}, "timeout server 7s"),
        ({}, "option disable-h2-upgrade"),
        (
            {"metrics_from": ["192.0.2.0/24"]},
            "tcp-request connection reject unless { src 127.0.0.0/8 ::1 192.0.2.0/24 }",
        ),
        ({}, f"nbthread {haproxy.THREADS}"),
    ],
)
def test_settings(changes: dict[str, Any], line: str) -> None:
    assert line in lines(**changes)


def test_pages_of_other_sites_may_ask_only_where_they_are_named() -> None:
    assert not [line for line in lines() if "Access-Control" in line]
    assert [line for line in lines(origins=["*"]) if "set-var(txn.origin)" in line and "-m found" in line]
