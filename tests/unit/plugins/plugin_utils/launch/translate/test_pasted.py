# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pasted command lines: what comes out is what the check of the inventory takes, or it reports what the command has wrong."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import ROLES
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rehearsal
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.pasted import deployments
from places import DATA

CORPUS: list[dict[str, Any]] = yaml.safe_load((DATA / "pasted.yml").read_text())
each = pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["id"])


def translated(case: dict[str, Any]) -> list[dict[str, Any]]:
    return deployments(case["text"], read_catalog, case.get("version", ""), case.get("given_nodes", 0))


def variables_of_roles() -> set[str]:
    found: set[str] = set()
    for role in ("engine", "deployment", "model"):
        for entry in yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"].values():
            found |= set(entry.get("options", {}))
    return found


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 40
    assert len({case["id"] for case in CORPUS}) == len(CORPUS)


@each
def test_variables(case: dict[str, Any]) -> None:
    found = translated(case)
    assert len(found) == case.get("count", 1)
    variables = found[0]["variables"]
    for name, value in case.get("expect", {}).items():
        assert variables.get(name) == value, name
    assert found[0]["nodes"] == case.get("nodes", 1)
    assert set(variables) <= variables_of_roles()
    shown = {key: " | ".join(map(str, found[0][key])) for key in ("open", "owned", "dropped")}
    for key, text in shown.items():
        for part in case.get(key, []):
            assert part in text, (key, text)


@each
def test_the_check_takes_it_or_reports_what_the_command_has_wrong(case: dict[str, Any]) -> None:
    """Whatever is refused is in the command: nothing is refused because of how it was translated."""
    for found in translated(case):
        again = rehearsal.refused(
            "pasted", found["nodes"], found["variables"], read_catalog(found["variables"]["engine_name"])
        )
        assert [one.finding["code"] for one in again] == [one["code"] for one in found["findings"]]
        assert {one["code"] for one in found["findings"]} == set(case.get("refused", []))


@each
def test_the_page_reads_back_as_the_variables_and_has_no_secret(case: dict[str, Any]) -> None:
    for found in translated(case):
        assert yaml.safe_load(found["page"]) == found["variables"]
        assert "not-to-be-seen" not in found["page"] and "not_to_be_seen" not in found["page"]
        for one in found["owned"]:
            assert one["by"]
        for one in found["dropped"]:
            assert one["why"] and one["why"] in found["page"]


@pytest.mark.parametrize(
    "text", ["", "echo hello", "docker run ubuntu ls", "vllm bench serve --model x", "python train.py"]
)
def test_a_text_without_an_engine(text: str) -> None:
    with pytest.raises(ValueError, match="no command of an engine"):
        deployments(text, read_catalog)


def test_a_version_that_the_text_does_not_name_is_for_the_user_to_write() -> None:
    (found,) = deployments("vllm serve acme/chat -tp 8", read_catalog)
    assert found["variables"]["engine_version"] == read_catalog("vllm").versions[-1]
    assert any(line.startswith("engine_version") for line in found["open"])
