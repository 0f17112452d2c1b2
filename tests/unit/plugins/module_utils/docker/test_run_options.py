# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How words for a container runtime are read."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.docker import run_options
from hypothesis import given
from hypothesis import strategies as st
from places import CHECKOUT

OF_WINDOWS = {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "isolation"}


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("--cpus 8 --label=a=b", [("cpus", "8"), ("label", "a=b")]),
        ("--label --security-opt --cap-add=ALL", [("label", "--security-opt"), ("cap-add", "ALL")]),
        ("-itv /a:/b", [("interactive", ""), ("tty", ""), ("volume", "/a:/b")]),
        ("-v=/a:/b -v/a:/b", [("volume", "/a:/b"), ("volume", "/a:/b")]),
        ("--init true", [("init", ""), ("true", None)]),
        ("--init=true", [("init", "true")]),
        ("-e", [("env", None)]),
        ("--unknown x --y=z", [("unknown", "x"), ("y", "z")]),
        ("-xv /:/x", [("-xv", None), ("/:/x", None)]),
        ("-- x", [("--", None), ("x", None)]),
    ],
)
def test_words(words: str, options: list[tuple[str, str | None]]) -> None:
    assert [(one.name, one.value) for one in run_options.parse(words.split())] == options


@pytest.mark.parametrize(
    ("words", "names", "rest"),
    [
        ("-it --name x image ls -l", ["interactive", "tty", "name"], ["image", "ls", "-l"]),
        ("image", [], ["image"]),
        ("--rm -- image --rm", ["rm"], ["image", "--rm"]),
        ("--rm", ["rm"], []),
    ],
)
def test_options_and_what_follows_them(words: str, names: list[str], rest: list[str]) -> None:
    options, following = run_options.split(words.split())
    assert ([one.name for one in options], following) == (names, rest)


@given(st.lists(st.sampled_from(["--cpus", "8", "-it", "-v", "/a:/b", "--x", "--init", "-e=A", "image"])))
def test_no_word_is_lost(words: list[str]) -> None:
    found = [word for one in run_options.parse(words) for word in one.words]
    assert "".join(found).replace("-", "") == "".join(words).replace("-", "")


@pytest.mark.skipif(not shutil.which("docker"), reason="docker's client")
def test_dockers_own_options_take_values_as_the_tables_say() -> None:
    text = subprocess.run(["docker", "run", "--help"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ +(?:-(\w), |)\s*--([\w-]+)( \S+)?  ", text, re.MULTILINE)
    assert len(found) > 90
    unknown = [name for _short, name, _value in found if name not in run_options.VALUED | run_options.SWITCHES]
    assert set(unknown) <= OF_WINDOWS | {"disable-content-trust", "health-start-interval", "link-local-ip"}
    for short, name, value in found:
        assert not short or run_options.SHORT[short] == name
        assert name in unknown or (name in run_options.VALUED) == bool(value), name


RECORDED = yaml.safe_load((CHECKOUT / "tests/unit/data/run_options.yml").read_text())
NOT_READ = {"disable-content-trust", "isolation"}
"""Of other systems, or without effect."""


@pytest.mark.parametrize("runtime", RECORDED)
def test_no_option_takes_a_value_in_one_runtime_and_none_in_another(runtime: str) -> None:
    valued, switches = (set(RECORDED[runtime][kind].split()) for kind in ("valued", "switches"))
    assert valued - NOT_READ <= run_options.VALUED and switches - NOT_READ <= run_options.SWITCHES
    assert not run_options.VALUED & run_options.SWITCHES
    assert RECORDED[runtime]["short"].items() <= run_options.SHORT.items()


@pytest.mark.parametrize("runtime", RECORDED)
def test_an_option_of_another_runtime_is_foreign(runtime: str) -> None:
    own = set(f"{RECORDED[runtime]['valued']} {RECORDED[runtime]['switches']}".split())
    every = run_options.VALUED | run_options.SWITCHES
    assert {name for name in every if run_options.foreign(name, "docker")} <= every
    assert not {name for name in own if run_options.foreign(name, runtime)}
    assert run_options.foreign("tz", "docker") and not run_options.foreign("tz", "")


@pytest.mark.skipif(not shutil.which("podman"), reason="podman")
def test_podmans_own_options_take_values_as_the_tables_say() -> None:
    text = subprocess.run(["podman", "run", "--help"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ +(?:-(\w), |)\s*--([\w-]+)( \S+)?  ", text, re.MULTILINE)
    assert len(found) > 120
    for short, name, value in found:
        assert not short or run_options.SHORT[short] == name
        unknown = name not in run_options.VALUED | run_options.SWITCHES
        assert unknown or (name in run_options.VALUED) == bool(value), name
