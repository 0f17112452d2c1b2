# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages point to exists: links, paths of the checkout in backticks, and every decision in the index of decisions."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from places import CHECKOUT

DECISIONS = CHECKOUT / "docs/decisions"
TOP = (
    "changelogs",
    "docs",
    "examples",
    "execution-environment",
    "inventories",
    "meta",
    "molecule",
    "playbooks",
    "plugins",
)
TOP += ("roles", "tests", "tools", "module_utils", "plugin_utils")
EXAMPLES = {"inventories/mine": "the inventory of a reader"}


@cache
def tracked() -> frozenset[str]:
    """Files of the checkout and their folders, as paths from its top."""
    done = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    files = done.stdout.splitlines()
    return frozenset(files) | {parent.as_posix() for name in files for parent in Path(name).parents}


def pages() -> list[str]:
    """Pages of the checkout; those beside recordings describe other projects' files."""
    return sorted(name for name in tracked() if name.endswith(".md") and "/data/" not in name)


def links(text: str) -> list[str]:
    """Targets of the links to files, without anchors."""
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def paths(text: str) -> list[str]:
    """Words in backticks that begin with a folder of the checkout; patterns and placeholders are none."""
    words = [word.strip(",;:") for code in re.findall(r"`([^`\n]+)`", text) for word in code.split()]
    return [word.rstrip("/") for word in words if re.fullmatch(rf"(?:{'|'.join(TOP)})/[\w./-]*\w/?", word)]


def exists(path: str, page: str) -> bool:
    """Whether a path is there: from the top, below ``plugins`` or, on the page of a role, in that role."""
    role = Path(page).parent.as_posix()
    return bool(tracked() & {path, f"plugins/{path}", f"{role}/{path}"}) or path in EXAMPLES


@pytest.mark.parametrize("page", pages())
def test_what_a_page_points_to_exists(page: str) -> None:
    text = (CHECKOUT / page).read_text()
    folder = (CHECKOUT / page).parent
    assert [target for target in links(text) if not (folder / target).exists()] == []
    options = {"meta/argument_specs.yml", "meta/values.yml"}  # of whichever role the page is about
    assert [path for path in paths(text) if path not in options and not exists(path, page)] == []


def test_links_and_paths_are_found() -> None:
    text = "[a](b.md#c) `tests/x.py` and `roles/<role>/x` `make test` [d](https://e/f)"
    assert (links(text), paths(text)) == (["b.md"], ["tests/x.py"])
    assert not exists("tests/x.py", "docs/faq.md")


def test_the_index_of_decisions_names_each_with_its_title() -> None:
    rows = re.findall(
        r"^\| \[(\d{3})\]\(([^)]+)\) \| (.+) \| (.+) \|$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    written = {path.name: path.read_text().splitlines()[0] for path in DECISIONS.glob("[0-9]*.md")}
    assert {name: f"# {number}: {title}" for number, name, title, _state in rows} == written
    assert [number for number, *_rest in rows] == sorted({name[:3] for name in written})
    assert {state for *_rest, state in rows if not re.match(r"in force|replaced by \[\d{3}\]", state)} == set()
