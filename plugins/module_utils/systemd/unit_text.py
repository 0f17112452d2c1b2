# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for a node: the header line, units from templates, quoting, and what systemctl show prints. Pure; private to this
collection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# what systemd leaves alone in a command line: see systemd.service(5), "Command lines", and systemd.syntax(7), "Quoting"
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


# The hash of the launch travels in the environment of the process: what runs can be compared with what should run.
SPEC_HASH_VARIABLE = "FULLRANK_SPEC_HASH"

HEADER = "Written by Ansible (fullrank.serving); changes are overwritten."
"""In the first line, a comment, of every file that this collection writes on a node and whose format has comments."""


def render(template: str, **values: object) -> str:
    """The header line and the template with its placeholders filled (`str.format`); values are inserted as they are."""
    return f"# {HEADER}\n{template.format(**values)}"


def directives(text: str) -> list[str]:
    """The lines of a unit that systemd acts on: no comments, no empty lines. Where they are equal, nothing is restarted."""
    return [line for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#;"]


def escape(text: str) -> str:
    """Prose in a unit, such as ``Description=``: ``%`` starts a specifier and is doubled."""
    return text.replace("%", "%%")


def quote(word: str, *, variables: bool = True) -> str:
    """One word of a command line or assignment, so that systemd passes on exactly these characters.

    ``%`` starts a specifier and is doubled; so is ``$`` where it starts a variable: in a command line, but not in
    ``Environment=`` (``variables=False``). A word with anything but plain characters is quoted, and control characters
    become C escapes.
    """
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if variables:
        escaped = escaped.replace("$", "$$")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\x{ord(m[0]):02x}", escaped) + '"'


def command(words: Sequence[str]) -> str:
    """The value of ``ExecStart=`` that executes exactly these words."""
    return " ".join(quote(word) for word in words)


def environment(variables: Mapping[str, str]) -> str:
    """One ``Environment=`` line for each variable, without a line break at the end."""
    return "\n".join(f"Environment={quote(f'{name}={value}', variables=False)}" for name, value in variables.items())


def parse_show(text: str) -> dict[str, str]:
    """``systemctl show`` output, ``Name=value`` lines, as a dict."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
