# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request of a fetch, and the unit that serves it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import Worker
from transient_standin import properties

REQUEST: dict[str, Any] = {"hub": "path", "repo": ""}


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ([], [], ["a.json", "b/c.bin", "model.safetensors"]),
        (["*.json", "b/*"], [], ["a.json", "b/c.bin"]),
        (["*"], ["*.bin"], ["a.json", "model.safetensors"]),
        (["A.json"], [], []),
    ],
)
def test_patterns(include: list[str], exclude: list[str], wanted: list[str]) -> None:
    paths = ["a.json", "b/c.bin", "model.safetensors"]
    assert [path for path in paths if plan.chosen(path, include, exclude)] == wanted


@pytest.mark.parametrize(
    ("revision", "pinned"), [("a" * 40, True), ("A" * 40, False), ("main", False), ("a" * 39, False), ("", False)]
)
def test_only_a_commit_is_pinned(revision: str, pinned: bool) -> None:
    assert plan.is_commit(revision) == pinned


def test_folders_of_one_name_have_units_of_their_own() -> None:
    assert plan.unit_name("/a/m") != plan.unit_name("/b/m")
    assert plan.unit_name("/a/m").startswith("fullrank-fetch-m-")


def test_parts_of_other_contents_are_never_continued() -> None:
    old, new = Entry("m", 5, "a" * 64, ""), Entry("m", 5, "b" * 64, "")
    assert plan.partial_name(REQUEST, [old]) != plan.partial_name(REQUEST, [new])
    assert plan.partial_name(REQUEST, [old, new]) == plan.partial_name(REQUEST, [new, old])


def test_the_fetch_gets_the_way_out_and_nothing_else_of_the_environment() -> None:
    variables = {"https_proxy": "http://p", "NO_PROXY": "a", "SSL_CERT_FILE": "/c", "HOME": "/root", "HF_TOKEN": "x"}
    assert plan.environment(variables) == {"https_proxy": "http://p", "NO_PROXY": "a", "SSL_CERT_FILE": "/c"}


def test_what_is_there_needs_no_space() -> None:
    assert plan.lacking_space("/m", 0, 0) == ""
    assert plan.lacking_space("/m", 10**9, 2 * 10**9) == ""
    assert "953.7 MiB free, and 1 GiB are still to come" in plan.lacking_space("/m", 2**30, 10**9)


def test_the_unit_writes_to_the_model_and_its_own_folder_and_shows_no_request() -> None:
    unit = plan.unit(
        *("/srv/m", "/opt/v/bin/python", "fetch.worker", 60),
        writes="/srv/m",
        reads=["/srv/source"],
        worker=Worker(61000, 61000),
    )
    words = transient.start_command(unit)
    folder = plan.run_folder("/srv/m")
    assert words[words.index("--") + 1 :] == ["/opt/v/bin/python", "-m", "fetch.worker", folder]
    assert [word for word in words if word.startswith("--property=ReadWritePaths")] == [
        "--property=ReadWritePaths=/srv/m",
        f"--property=ReadWritePaths={folder}",
    ]
    found = properties(words)
    assert (found["RuntimeMaxSec"], found["User"], found["CapabilityBoundingSet"]) == ("60", "61000", "")
    assert found["MemoryMax"] == str(8 << 30)
    assert f"--setenv=HOME={folder}" in words


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (Entry("../x", 1, "", ""), "leads out"),
        (Entry("/etc/x", 1, "", ""), "leads out"),
        (Entry("a//x", 1, "", ""), "leads out"),
        (Entry(".git/../../x", 1, "", ""), "leads out"),
        (Entry("", 1, "", ""), "leads out"),
        (Entry("a\x1b[2J", 1, "", ""), "cannot be shown"),
        (Entry("a\udcff", 1, "", ""), "cannot be shown"),
        (Entry("a" * 256, 1, "", ""), "more than 255"),
        (Entry("a", -1, "", ""), "size"),
        (Entry("a", 1, "/etc/shadow", ""), "no sha256"),
        (Entry("a", 1, "A" * 64, ""), "no sha256"),
        (Entry("a", 1, "", "../../x"), "no name of an object"),
    ],
)
def test_what_a_listing_must_not_hold(entry: Entry, why: str) -> None:
    (found,) = plan.refused([entry, Entry("b", 1, "0" * 64, "")])
    assert why in found


def test_a_path_has_one_meaning() -> None:
    twice, file, below = Entry("a", 1, "", ""), Entry("b", 1, "", ""), Entry("b/c", 1, "", "")
    assert plan.refused([twice, twice, file, below]) == [
        "'a': it is listed 2 times",
        "'b': it is listed as a file and as a folder",
    ]


def test_the_bookkeeping_of_tools_is_left_out_and_no_fault() -> None:
    listed = [Entry(".git/config", 1, "", ""), Entry(".fullrank/READY", 1, "", ""), Entry("a", 1, "", "")]
    assert plan.refused(listed) == [] and [one.path for one in plan.usable(listed)] == ["a"]
