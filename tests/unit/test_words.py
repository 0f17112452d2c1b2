"""Words that survive the way through a shell, a unit file and a compose document."""

from __future__ import annotations

import shlex

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.words import compose_word, shell_line, systemd_line
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1), min_size=1)


@given(WORDS)
def test_a_shell_line_gives_its_words_back(words: list[str]) -> None:
    assert shlex.split(shell_line(words)) == words


def test_the_environment_of_a_shell_line_is_set_for_the_command() -> None:
    assert shell_line(["vllm", "serve"], {"A": "b c"}) == "env 'A=b c' vllm serve"


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("--port", "--port"),
        ("nvidia.com/gpu=all", "nvidia.com/gpu=all"),
        ('{"a": 1}', '"{\\"a\\": 1}"'),
        ("100%", '"100%%"'),
        ('exec "$@"', '"exec \\"$$@\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("two\nlines", '"two\\nlines"'),
        ("", '""'),
    ],
)
def test_systemd_expands_nothing(word: str, written: str) -> None:
    assert systemd_line([word]) == written


def test_compose_expands_nothing() -> None:
    assert compose_word("exec $@") == "exec $$@"
