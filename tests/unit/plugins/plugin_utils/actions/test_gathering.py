# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diagnosis gathers lies in the run's own temporary folder."""

from __future__ import annotations

from pathlib import Path

from ansible import constants as C
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import gathering


def test_files_are_kept_by_name_in_a_folder_that_is_made(tmp_path: Path) -> None:
    gathering.keep(tmp_path / "tiny/n1", {"journal.log": "one\n"})
    gathering.keep(tmp_path / "tiny/n1", {"journal.log": "two\n", "kernel.log": ""})
    assert {path.name: path.read_text() for path in (tmp_path / "tiny/n1").iterdir()} == {
        "journal.log": "two\n",
        "kernel.log": "",
    }


def test_the_place_is_removed_with_the_run() -> None:
    assert gathering.place().is_relative_to(C.DEFAULT_LOCAL_TMP)
