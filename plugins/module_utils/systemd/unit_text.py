# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of systemd's units: quoting, and what systemctl show prints. Pure; private to this collection."""

from __future__ import annotations

import re

# what systemd leaves alone in a command line: see systemd.service(5), "Command lines", and systemd.syntax(7), "Quoting"
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


# The hash of the launch travels in the environment of the process: what runs can be compared with what should run.
SPEC_HASH_VARIABLE = "FULLRANK_SPEC_HASH"


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


def parse_show(text: str) -> dict[str, str]:
    """``systemctl show`` output, ``Name=value`` lines, as a dict."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
