# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all sources have in common: a part is no larger than its file, and only a commit is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.source import Part, Refused, Source


def test_a_part_takes_no_byte_more_than_its_file_has(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        part = Part(file, Entry("a", 5, "", ""))
        assert part.write(b"12345") == 5
        with pytest.raises(Refused, match="more than the 5 bytes"):
            part.write(b"6")
    assert (tmp_path / "a").read_bytes() == b"12345"


@pytest.mark.parametrize(("revision", "why"), [("main", "'main' is a branch or a tag"), ("", "no revision is given")])
def test_what_can_move_is_refused_with_the_commit_to_write(revision: str, why: str) -> None:
    source = Source({"repo": "o/m", "workers": 1, "revision": revision}, "")
    with pytest.raises(Refused, match=f"{why}.*{'1' * 40}"):
        source._pinned("1" * 40)
