# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No two deployments share a name on a node, and every name fits."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePath

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files as router_files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.webui import unit as webui
from hypothesis import given
from hypothesis import strategies as st

UNITS: tuple[Callable[[str], str], ...] = (
    names.rank_unit,
    names.supervisor_unit,
    names.router_unit,
    names.balancer_unit,
)
FILES: tuple[Callable[[str], str], ...] = (
    names.supervisor_config,
    names.supervisor_secret,
    names.supervisor_program,
    names.previous_launch,
    names.ready_mark,
    names.drain_mark,
    router_files.run_folder,
    *(partial(router_files.path, ending=ending) for ending in (".cfg", ".json", *router_files.SECRETS)),
)
WORDS = (
    "tiny",
    "group",
    "router",
    "rank",
    "supervisor",
    "json",
    "secret",
    "webui",
    "smg",
    "fetch",
    "monitoring",
    "previous",
)
# names of what is there already, glued together: where a collision would be
DEPLOYMENTS = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map("-".join),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(".".join),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", fullmatch=True),
).filter(lambda name: not names.refused(name))


def of(deployment: str) -> set[str]:
    """Every unit, container and file of a deployment."""
    return {name(deployment) for name in (*UNITS, *FILES, names.rank_container)}


@given(DEPLOYMENTS, DEPLOYMENTS)
def test_no_two_deployments_share_a_name(one: str, other: str) -> None:
    assert one == other or not of(one) & of(other)
    assert len(of(one)) == len(UNITS) + len(FILES) + 1


@given(DEPLOYMENTS)
def test_only_the_unit_of_an_engine_is_one(deployment: str) -> None:
    ours = [unit(deployment) for unit in UNITS]
    ours += [f"{webui.NAME}.service", "fullrank-prometheus.service", "fullrank-rank-metrics.service"]
    ours += [f"fullrank-fetch-{deployment}-0.service"]
    assert [unit for unit in ours if fnmatch(unit, names.ENGINE_UNITS)] == [names.rank_unit(deployment)]
    assert names.container_of(names.rank_unit(deployment)) == names.rank_container(deployment)


@given(DEPLOYMENTS)
def test_a_configuration_belongs_to_the_deployment_that_it_is_named_after(deployment: str) -> None:
    assert fnmatch(PurePath(names.supervisor_config(deployment)).name, "*.supervisor.json")
    assert not fnmatch(PurePath(names.supervisor_secret(deployment)).name, "*.supervisor.json")


def test_the_longest_name_fits_with_what_stands_around_it(tmp_path: Path) -> None:
    deployment = "x" * names.LONGEST
    for name in of(deployment):
        # as a file is written before it takes its place (common/files.py)
        assert len(f".{PurePath(name).name}.12345678.new".encode()) <= 255
    assert names.refused(deployment) == ""
    assert "201 characters" in names.refused(deployment + "x")


@pytest.mark.parametrize(
    "deployment", ["", "a/b", "a b", "a@b", "-a", ".a", "ä", "a%n", "a\n", "webui", "a.key", "a.yml", "a.supervisor"]
)
def test_what_no_unit_can_be_called_is_refused(deployment: str) -> None:
    assert names.refused(deployment)


@pytest.mark.parametrize("deployment", ["tiny", "tiny-group", "router-tiny", "router", "deepseek_r1", "qwen2.5-72b"])
def test_what_can_be_called_so_is_not(deployment: str) -> None:
    assert names.refused(deployment) == ""
