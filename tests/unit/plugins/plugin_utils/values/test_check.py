# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable's value against its option and its rule."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.check import Expected, check

PORT = {"type": "int", "default": 8000}
FLAG = {"type": "bool", "default": True}
PATHS = {"type": "list", "elements": "str"}
MOUNTS = {
    "type": "list",
    "elements": "dict",
    "options": {"source": {"type": "str", "required": True}, "target": {"type": "str"}},
}
HARDWARE = {"type": "dict", "default": {}}
SWAP = {"type": "str", "choices": ["keep", "off"]}


@pytest.mark.parametrize(
    ("option", "rule", "value"),
    [
        (PORT, "1..65535", 8000),
        (PORT, "1..65535", "8000"),  # -e engine_port=8000
        (PORT, "1..65535", 8000.0),
        ({"type": "float"}, "0..1", 0.5),
        ({"type": "float"}, "0..1", 1),
        ({"type": "float"}, "0..1", "0.5"),
        (FLAG, None, False),
        (PATHS, "path", ["/a"]),
        (PATHS, "path", ()),
        (MOUNTS, {"source": "volume"}, [{"source": "/a"}]),
        (HARDWARE, {"nodes": "1..9"}, {"nodes": 2, "gpu": "H20"}),
        (SWAP, None, "off"),
        ({"type": "str"}, "beginning", 580),
        ({"type": "str"}, "two-numbers", 8.9),
        ({"type": "str"}, "path?", ""),
        ({"type": "str", "default": ""}, None, ""),
        ({"type": "raw"}, None, [1]),
    ],
)
def test_what_fits_is_accepted(option: Any, rule: Any, value: Any) -> None:
    assert list(check(value, Expected(option, rule))) == []


@pytest.mark.parametrize(
    ("expected", "value", "found"),
    [
        ((PORT, "1..65535"), 99999, ("value-range", (), [65535])),
        ((PORT, "1..65535"), -1, ("value-range", (), [1])),
        ((PORT, "1..65535"), "99999", ("value-range", (), [65535])),
        ((PORT, "1..65535"), True, ("value-type", (), [8000])),
        ((PORT, "1..65535"), "eighty", ("value-type", (), [8000])),
        ((PORT, "1..65535"), 80.5, ("value-type", (), [8000])),
        ((PORT, "1..65535"), float("nan"), ("value-type", (), [8000])),
        ((PORT, "1..65535"), [8000], ("value-type", (), [8000])),
        ((PORT, "1..65535"), None, ("value-empty", (), [8000])),
        ((PORT, "1..65535"), "", ("value-type", (), [8000])),
        ((PORT, "0, 30..86400"), 5, ("value-range", (), [0])),
        ((FLAG, None), "no", ("value-type", (), [False])),
        ((FLAG, None), "True", ("value-type", (), [True])),
        ((FLAG, None), 1, ("value-type", (), [True])),
        ((FLAG, None), "maybe", ("value-type", (), [])),
        ((FLAG, None), [], ("value-type", (), [True])),
        ((PATHS, "path"), "/a, /b", ("value-type", (), [["/a", "/b"]])),
        ((PATHS, "path"), ["/a", "b"], ("value-format", (1,), [])),
        (({"type": "list", "elements": "int"}, "0..7"), "0,1", ("value-type", (), [["0", "1"]])),
        (({"type": "list", "elements": "int"}, "0..7"), 0, ("value-type", (), [[0]])),
        (({"type": "list", "elements": "int"}, "0..7"), {}, ("value-type", (), [])),
        ((MOUNTS, {"source": "volume"}), [{"target": "/a"}], ("value-missing", (0, "source"), [])),
        ((MOUNTS, {"source": "volume"}), [{"source": "/a", "taget": "/b"}], ("value-unknown", (0, "taget"), [])),
        ((HARDWARE, {"nodes": "1..9"}), {"nodes": 0}, ("value-range", ("nodes",), [1])),
        ((HARDWARE, {"nodes": "1..9"}), {"node": 2}, ("value-unknown", ("node",), [])),
        ((HARDWARE, None), "x", ("value-type", (), [])),
        (({"type": "dict"}, "texts"), {"max-file": 3}, ("value-type", ("max-file",), ["3"])),
        ((SWAP, None), False, ("value-choice", (), ["off"])),
        ((SWAP, None), "kep", ("value-choice", (), ["keep"])),
        (({"type": "str"}, "version"), 0.1, ("value-type", (), ["0.1"])),
        (({"type": "str"}, None), True, ("value-type", (), [])),
        (({"type": "str"}, "path"), "", ("value-empty", (), ["/data/file"])),
        (({"type": "str"}, None), "a\nb", ("value-format", (), [])),
    ],
)
def test_what_does_not_fit_is_reported_once_and_the_way_out_is_accepted(
    expected: tuple[Any, Any], value: Any, found: tuple[str, tuple[Any, ...], list[Any]]
) -> None:
    (one,) = check(value, Expected(*expected))
    assert (one.code, one.steps, one.instead) == found
    assert one.message and one.remedy
    if one.instead and not one.steps:
        assert list(check(one.instead[0], Expected(*expected))) == []


def test_all_mistakes_inside_a_value_are_reported() -> None:
    value = [{"source": "../x"}, {"source": 3, "target": "b"}, "c"]
    found = list(check(value, Expected(MOUNTS, {"source": "volume", "target": "path"})))
    assert [(one.code, one.steps) for one in found] == [
        ("value-format", (0, "source")),
        ("value-format", (1, "target")),
        ("value-type", (2,)),
    ]


@pytest.mark.parametrize(
    "value", ["planted secret", True, ["planted secret"], {"planted secret": 1}, "planted\nsecret"]
)
def test_a_secret_is_part_of_no_message(value: Any) -> None:
    found = list(check(value, Expected({"type": "str", "no_log": True}, "key")))
    assert found and "planted" not in str([(one.message, one.remedy) for one in found])


def test_a_password_in_a_url_is_part_of_no_message() -> None:
    (found,) = check("https://me:planted@host/x", Expected({"type": "str"}, "url"))
    assert "planted" not in found.message + found.remedy and found.instead == ["https://host/x"]
