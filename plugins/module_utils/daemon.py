# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the main process of a unit tells systemd and the journal. Private to this collection."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


def notify(words: str) -> None:
    """Tell systemd (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.connect("\0" + address[1:] if address.startswith("@") else address)
            way.send(words.encode())


def say(text: str) -> None:
    """A line in the journal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def start_anew() -> None:
    """The same program with the same words, from its file as it is now, in this very process."""
    # sys.orig_argv needs Python 3.10
    argv = [word.decode() for word in Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]]
    os.execv(sys.executable, argv)
