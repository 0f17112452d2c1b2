# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for a node: the header line, the words of a unit, and what `systemctl show` prints."""

from __future__ import annotations

import re

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import unit_text
from hypothesis import given
from hypothesis import strategies as st


def unquote(text: str, *, variables: bool) -> list[str]:
    """systemd's own reading, written down again from systemd.syntax(7): words, C escapes, ``%%`` and (in commands) ``$$``."""
    words = []
    for plain, quoted in re.findall(r'([^\s"]+)|"((?:[^"\\]|\\.)*)"', text):
        word = plain or re.sub(r"\\x([0-9a-f]{2})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], quoted)
        word = word.replace("%%", "%")
        words.append(word.replace("$$", "$") if variables else word)
    return words


# NUL cannot stand in an argument; systemd reads everything else back
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(words, min_size=1, max_size=5))
def test_a_command_line_reads_back_as_the_same_words(argv: list[str]) -> None:
    assert unquote(" ".join(unit_text.quote(word) for word in argv), variables=True) == argv


@given(words)
def test_a_variable_keeps_its_dollar_signs(value: str) -> None:
    text = unit_text.quote(f"NAME={value}", variables=False)
    assert unquote(text, variables=False) == [f"NAME={value}"]


def test_a_rendered_text_begins_with_the_header_and_holds_values_as_they_are() -> None:
    expected = f"# {unit_text.HEADER}\n" + "A={b}%\n${x}\n"
    assert unit_text.render("A={a}\n${{x}}\n", a="{b}%") == expected


def test_comments_are_not_what_systemd_acts_on() -> None:
    one, other = "# old\n[Service]\n\nA=1 # x\n", "# new\n; more\n[Service]\nA=1 # x\n"
    assert unit_text.directives(one) == unit_text.directives(other) == ["[Service]", "A=1 # x"]
    assert unit_text.directives(one) != unit_text.directives(one.replace("A=1", "A=2"))


def test_commands_variables_and_prose() -> None:
    assert unit_text.command(["/bin/x", "a b", "$HOME"]) == '/bin/x "a b" "$$HOME"'
    assert unit_text.environment({"A": "1", "B": "$x y"}) == 'Environment=A=1\nEnvironment="B=$x y"'
    assert unit_text.environment({}) == ""
    assert unit_text.escape("100% of it") == "100%% of it"


def test_show_output_is_read_to_the_first_equals_sign() -> None:
    assert unit_text.parse_show("A=1\nEnvironment=B=2\n\nC=\n") == {"A": "1", "Environment": "B=2", "C": ""}
