# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the main process of a unit does for systemd, the journal and itself: readiness, log lines, priority, execution of
its new program. Private to this collection."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path


def notify(words: str) -> None:
    """Send a state to systemd (sd_notify(3)); nothing where no unit is waiting for one, or it cannot be sent: systemd then judges
    the unit by its silence."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            connection.send(words.encode())


def say(text: str) -> None:
    """A line in the journal; lost where it cannot be written: a program that supervises others does not end for that."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def keep_priority() -> None:
    """Let the Nice= of the unit count against other units.

    The kernel shares the processors among sessions, of which every unit is one; a process's own nice value counts within its
    session only (sched(7), "The autogroup feature"), and systemd sets no other.
    """
    with contextlib.suppress(OSError):  # a kernel without it, or not ours to set
        Path("/proc/self/autogroup").write_text(str(os.nice(0)))


def reexec() -> None:
    """Execute the program again with the same arguments, from its file as it is now, as the same process."""
    # sys.orig_argv needs Python 3.10
    argv = [word.decode() for word in Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]]
    os.execv(sys.executable, argv)
