# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""daemon.json with several owners: what is laid on can be lifted off, and a user's keys are never lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import config
from hypothesis import given
from hypothesis import strategies as st

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("ab", max_size=2))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)
FILES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), VALUES, max_size=4)
UNIT_FILES = ["/lib/systemd/system/docker.service"]


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(FILES, FILES, st.sets(st.sampled_from("ab")))
def test_what_was_applied_is_reverted_without_a_trace(user: Any, wanted: Any, append: set[str]) -> None:
    merged, records = config.apply(user, wanted, sorted(append))
    assert same(config.revert(merged, records), user)


@given(FILES, FILES, st.sets(st.sampled_from("ab")))
def test_a_second_run_changes_nothing(user: Any, wanted: Any, append: set[str]) -> None:
    merged, records = config.merge(user, [], wanted, sorted(append))
    again, records_again = config.merge(merged, records, wanted, sorted(append))
    assert same(again, merged) and same(records_again, records)


@given(FILES, FILES, FILES)
def test_the_order_of_what_was_wanted_before_does_not_matter(user: Any, first: Any, second: Any) -> None:
    merged, records = config.merge(user, [], first)
    assert same(config.merge(merged, records, second)[0], config.merge(user, [], second)[0])


@given(FILES, FILES)
def test_keys_that_are_not_wanted_are_not_touched(user: Any, wanted: Any) -> None:
    merged, _ = config.merge(user, [], wanted)
    for key in user.keys() - wanted.keys():
        assert same(merged[key], user[key])


@given(FILES, FILES)
def test_everything_wanted_is_there(user: Any, wanted: Any) -> None:
    def holds(there: Any, part: Any) -> bool:
        if isinstance(part, dict):
            return isinstance(there, dict) and all(key in there and holds(there[key], part[key]) for key in part)
        return same(there, part)

    assert holds(config.merge(user, [], wanted)[0], wanted)


def test_objects_are_merged_key_by_key() -> None:
    user = {"runtimes": {"mine": {"path": "/x"}}, "log-driver": "local", "dns": ["192.0.2.1"]}
    ours = {
        "runtimes": {"nvidia": {"path": "nvidia-container-runtime"}},
        "log-driver": "json-file",
        "dns": ["192.0.2.9"],
    }
    merged, records = config.merge(user, [], ours)
    assert merged == {
        "runtimes": {"mine": {"path": "/x"}, "nvidia": {"path": "nvidia-container-runtime"}},
        "log-driver": "json-file",
        "dns": ["192.0.2.9"],
    }
    assert config.merge(merged, records, {}) == (user, [])


def test_a_list_that_is_appended_to_keeps_the_users_items() -> None:
    user = {"registry-mirrors": ["https://a"]}
    merged, records = config.merge(user, [], {"registry-mirrors": ["https://a", "https://b"]}, ["registry-mirrors"])
    assert merged == {"registry-mirrors": ["https://a", "https://b"]}
    merged["registry-mirrors"].append("https://c")
    assert config.revert(merged, records) == {"registry-mirrors": ["https://a", "https://c"]}


def test_what_somebody_changed_since_is_theirs() -> None:
    merged, records = config.merge({}, [], {"debug": True, "log-opts": {"max-size": "10m"}})
    merged["log-opts"]["max-size"] = "1g"
    merged["log-opts"]["tag"] = "x"
    assert config.revert(merged, records) == {"log-opts": {"max-size": "1g", "tag": "x"}}
    # and when we want it again, what they wrote is what comes back in the end
    again, records_again = config.merge(merged, records, {"log-opts": {"max-size": "10m"}})
    assert again["log-opts"] == {"max-size": "10m", "tag": "x"}
    assert config.revert(again, records_again) == {"log-opts": {"max-size": "1g", "tag": "x"}}


def test_the_users_own_equal_value_is_not_owned() -> None:
    merged, records = config.merge({"debug": True}, [], {"debug": True})
    assert records == []
    assert config.merge(merged, records, {})[0] == {"debug": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "debug": true,\n  "dns": ["192.0.2.1",]\n}\n', "line 3, column 2"),
        ('{"debug": true', "line 1, column 15"),
        ("debug: true\n", "line 1, column 1"),
        ("[1]", "holds list instead of an object"),
    ],
)
def test_a_broken_file_is_one_failed_check_with_the_place(text: str, message: str) -> None:
    content, [problem] = config.parse(text, "/etc/docker/daemon.json")
    assert content == {}
    assert problem["where"] == "/etc/docker/daemon.json" and message in problem["message"]
    assert "not touched" in problem["remedy"]


def test_a_key_belongs_to_one_owner() -> None:
    _, theirs = config.apply({}, {"features": {"cdi": True}, "runtimes": {"nvidia": {"path": "n"}}})
    _, ours = config.apply({}, {"features": {"cdi": False, "buildkit": True}})
    [problem] = config.claimed(ours, {"nvidia_container_toolkit": theirs}, "/etc/docker/daemon.json")
    assert problem["where"] == "/etc/docker/daemon.json, features.cdi"
    assert "nvidia_container_toolkit" in problem["message"]
    assert config.claimed(theirs, {"nvidia_container_toolkit": theirs}, "x") == []


def test_an_empty_file_is_an_empty_object() -> None:
    assert config.parse(" \n", "x") == ({}, [])


def test_passwords_of_proxies_are_not_shown() -> None:
    text = config.render({"proxies": {"http-proxy": "http://me:secret@proxy:3128"}})
    assert "secret" not in config.masked(text) and "proxy:3128" in config.masked(text)
    _, [problem] = config.parse('{"proxies": {"http-proxy": "http://me:secret@proxy"},}', "x")
    assert "secret" not in problem["message"]


# `systemctl show docker --property=ExecStart` of docker.io 26.1.5+dfsg1-9+deb13u1 on Debian 13
DEBIAN = (
    "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS ; "
    "ignore_errors=no ; start_time=[Sun 2026-11-22 23:22:44 UTC] ; stop_time=[n/a] ; pid=371 ; code=(null) ; status=0/0 }"
)


def test_flags_of_the_unit_are_found_with_their_variables() -> None:
    assert set(config.flags(DEBIAN, {})) == {"hosts", "containerd", "containerds"}
    environment = config.environment_of(
        '# by hand\nDOCKER_OPTS="--data-root=/x --log-opt max-size=1m -g /y --dns 192.0.2.1"\n'
    )
    found = config.flags(DEBIAN, environment)
    assert found["data-root"] in ("--data-root", "-g") and found["log-opts"] == "--log-opt" and found["dns"] == "--dns"


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({"hosts": ["tcp://192.0.2.1:2375"]}, ["hosts"]),
        ({"data-root": "/data", "debug": True}, ["data-root"]),
        ({"insecure-registries": ["192.0.2.1"]}, ["insecure-registries"]),
        ({"runtimes": {"x": {"path": "/x"}}, "log-driver": "local"}, []),
    ],
)
def test_a_key_that_is_a_flag_too_is_refused(wanted: dict[str, Any], refused: list[str]) -> None:
    environment = {"DOCKER_OPTS": "--data-root /x --insecure-registry 192.0.2.2 --add-runtime x=/x"}
    problems = config.in_both(wanted, config.flags(DEBIAN, environment), UNIT_FILES, "/etc/docker/daemon.json")
    assert [problem["data"]["key"] for problem in problems] == refused
    assert all(UNIT_FILES[0] in problem["remedy"] for problem in problems)
