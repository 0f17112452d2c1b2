# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shell's text becomes: words and environment of each command."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import shell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run a b", [("run", "a", "b")]),
        ("run a \\\n  b", [("run", "a", "b")]),
        ("run a \\   \n  b", [("run", "a", "b")]),
        ("run a \\  # why\n b", [("run", "a", "b")]),
        ("run a \\\n # why\n b", [("run", "a", "b")]),
        ("# nothing\nrun a # why", [("run", "a")]),
        ("run 'a # b' \"c;d\"", [("run", "a # b", "c;d")]),
        ("one; two && three | four\nfive", [("one",), ("two",), ("three",), ("four",), ("five",)]),
        ("$ run a\n", [("run", "a")]),
        ("```bash\nrun a\n```", [("run", "a")]),
        ("run --json '{\"a\": [1, 2]}'", [("run", "--json", '{"a": [1, 2]}')]),
        ("bash -c 'one a && two'", [("one", "a"), ("two",)]),
        ("ssh node 'one a'", [("one", "a")]),
        ("docker run x bash -c 'one a'", [("docker", "run", "x", "bash", "-c", "one a")]),
        ("run a\r\nrun b\r\n", [("run", "a"), ("run", "b")]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[tuple[str, ...]]) -> None:
    assert [one.words for one in shell.commands(text)] == expected


@pytest.mark.parametrize(
    ("text", "words", "env"),
    [
        ("A=1 run $A", ("run", "$A"), {"A": "1"}),
        ("A=1\nrun $A ${A}x", ("run", "1", "1x"), {}),
        ("export A=1 B=2\nrun $A", ("run", "1"), {"A": "1", "B": "2"}),
        ("A=1\nexport A\nrun", ("run",), {"A": "1"}),
        ("run ${A:-7} ${B-8}", ("run", "7", "8"), {}),
        ("run $A", ("run", "$A"), {}),
        ("A=$(hostname -I)\nrun $A", ("run", "$COMPUTED_BY_A_SHELL"), {}),
        ("export A=`date`\nrun", ("run",), {"A": "$COMPUTED_BY_A_SHELL"}),
    ],
)
def test_variables(text: str, words: tuple[str, ...], env: dict[str, str]) -> None:
    (found,) = shell.commands(text)
    assert (found.words, found.env) == (words, env)


def test_names_that_are_left() -> None:
    assert shell.unknown("a$B/${C}") == ["B", "C"]


def test_a_quote_that_is_not_closed() -> None:
    with pytest.raises(ValueError, match="quotation"):
        shell.commands("run 'a")
