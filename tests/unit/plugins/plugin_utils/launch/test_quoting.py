# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that survive the way through a shell, a unit file and a compose document."""

from __future__ import annotations

import shlex

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.quoting import (
    compose_word,
    shell_line,
    yaml_lines,
)
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1), min_size=1)


@given(WORDS)
def test_a_shell_line_gives_its_words_back(words: list[str]) -> None:
    assert shlex.split(shell_line(words)) == words


def test_the_environment_of_a_shell_line_is_set_for_the_command() -> None:
    assert shell_line(["vllm", "serve"], {"A": "b c"}) == "env 'A=b c' vllm serve"


def test_compose_expands_nothing() -> None:
    assert compose_word("exec $@") == "exec $$@"


DOCUMENTS = st.dictionaries(
    st.sampled_from(["image", "environment", "command"]),
    st.recursive(
        st.integers() | st.booleans() | st.text(st.characters(categories=["L", "N", "P", "Zs"])),
        lambda inner: (
            st.lists(inner, min_size=1) | st.dictionaries(st.sampled_from(["A", "b_c", "d-e"]), inner, min_size=1)
        ),
        max_leaves=8,
    ),
    min_size=1,
)


@given(DOCUMENTS)
def test_a_yaml_document_reads_back(document: dict[str, object]) -> None:
    assert yaml.safe_load("\n".join(yaml_lines(document))) == document


@pytest.mark.parametrize("text", ["no", "1.5", "null", "a: b", "# c", "- d", "two\nlines", "tab\t", " edge ", "'", '"'])
def test_a_yaml_text_stays_a_text(text: str) -> None:
    assert yaml.safe_load("\n".join(yaml_lines({"word": text, "words": [text]}))) == {"word": text, "words": [text]}
