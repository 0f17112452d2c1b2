# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What DKMS prints about a kernel module that it could not build. Functions from text to text.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

MOST_LINES = 12
# compiler, linker, modpost and make; the kernel that ended one of them, and the disk
_TELLING = re.compile(
    r"\b(?:fatal )?error: |\bERROR: |undefined reference|\bKilled\b|No space left|No rule to make|\*\*\* .*(?:Error|Stop)"
)
_SHORT = 400  # other lines of a build are commands of a thousand characters


def complaints(output: str) -> tuple[list[str], str]:
    """From what a package manager printed: the errors of dkms, and the log that it names last; "" where it names none.

    >>> complaints("Error! Bad return status for module build on kernel: 6.12\\nConsult /var/lib/dkms/a/1/build/make.log")
    (['Bad return status for module build on kernel: 6.12'], '/var/lib/dkms/a/1/build/make.log')
    """
    logs = re.findall(r"Consult (/\S+\.log)", output)
    errors = re.findall(r"^\s*Error! (.+?)\s*$", output, re.MULTILINE)
    return list(dict.fromkeys(errors)), logs[-1] if logs else ""


def kept_name(log: str) -> str:
    """What a copy of a log is called.

    >>> kept_name("/var/lib/dkms/nvidia-current-open/550.163.01/build/make.log")
    'nvidia-current-open-550.163.01-make.log'
    """
    parts = PurePosixPath(log).parts
    named = parts[parts.index("dkms") + 1 :] if "dkms" in parts else parts[-1:]
    return "-".join(part for part in named if part != "build")


def telling(log: str) -> list[str]:
    """The lines of a build's log that name an error; its end where none does."""
    lines = [line for line in log.splitlines() if len(line) < _SHORT]
    found = [line for line in lines if _TELLING.search(line)]
    # the first errors are the cause; the last ones, of make, name the step at which it ended
    if len(found) > MOST_LINES:
        found = [*found[: MOST_LINES - 2], *found[-2:]]
    return found or lines[-MOST_LINES:]
