# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages and the schema that are made from the roles' argument specifications."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tools import role_options as made


@pytest.mark.parametrize("path", made.files(), ids=lambda path: path.name)
def test_what_is_committed_is_what_would_be_made(path: Any) -> None:
    assert path.read_text() == made.files()[path], "run: python -m tools.role_options"


def test_no_page_is_left_of_a_role_that_is_gone() -> None:
    pages = {path.stem for path in (made.ROOT / "docs/roles").glob("*.md")} - {"README"}
    assert pages == set(made.specifications())


def test_the_schema_accepts_the_inventories_that_are_shipped() -> None:
    jsonschema = pytest.importorskip("jsonschema")  # comes with ansible-lint
    schema = made.schema(made.specifications())
    found = sorted((made.ROOT / "inventories").glob("*/group_vars/**/*.yml"))
    assert found
    for path in found:
        jsonschema.validate(yaml.safe_load(path.read_text()) or {}, schema)


@pytest.mark.parametrize(
    ("variables", "accepted"),
    [
        ({"engine_port": 30000}, True),
        ({"engine_port": "{{ port_of_mine }}"}, True),
        ({"engine_port": "thirty"}, False),
        ({"engine_device": "tpu"}, False),
        ({"engine_nccl": {"site_profile": "roce"}}, True),
        ({"engine_nccl": {"site_profil": "roce"}}, False),
        ({"engine_gpus": ["all"]}, False),
        ({"something_of_mine": 1}, True),
    ],
)
def test_what_the_schema_accepts(variables: dict[str, Any], accepted: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    valid = jsonschema.Draft7Validator(made.schema(made.specifications())).is_valid(variables)
    assert valid is accepted


def test_markup_becomes_markdown() -> None:
    assert made.text(
        ["Set O(engine_port), e.g. V(8000).", "P(fullrank.serving.memory_fit#filter) gives the reason."]
    ) == ("Set `engine_port`, e.g. `8000`. `fullrank.serving.memory_fit` gives the reason.")
    assert not re.search(r"\b[A-Z]\(", "".join(made.files().values())), "markup that is not translated"
