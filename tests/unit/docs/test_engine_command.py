# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of docs/engine-command.md, rendered: the block after the options is what comes out."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import ENGINES, mistakes, render
from places import CHECKOUT

PAGE = CHECKOUT / "docs" / "engine-command.md"
EXAMPLES = re.findall(r"^## ([^\n]+)\n+```yaml\n(.*?)```\n+```(sh|text)\n(.*?)```", PAGE.read_text(), re.M | re.S)


@pytest.mark.parametrize(("title", "options", "kind", "expected"), EXAMPLES, ids=[title for title, *_ in EXAMPLES])
def test_example(title: str, options: str, kind: str, expected: str) -> None:
    arguments = yaml.safe_load(options)
    launch = render(arguments, read_catalog(arguments["engine"]))
    if kind == "text":
        assert mistakes(launch) == expected.strip()
    else:
        assert mistakes(launch) == ""
        assert shlex.split(launch["lines"][arguments.get("runtime", "process")]) == shlex.split(
            expected.replace("\\\n", " ")
        )


def test_every_engine_has_an_example() -> None:
    assert {yaml.safe_load(options)["engine"] for _, options, kind, _ in EXAMPLES if kind == "sh"} == set(ENGINES)
