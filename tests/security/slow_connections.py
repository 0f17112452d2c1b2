# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""slow_connections.py ADDRESS PORT COUNT SECONDS: so many connections that never finish their request, renewed when they end.

A few hundred a second are renewed. They come from 127.0.0.1 to 127.0.0.4. Prints how many were opened.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import sys
import time


def main() -> None:
    address, (port, count, seconds) = sys.argv[1], map(int, sys.argv[2:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    selector = selectors.DefaultSelector()
    opened = 0

    def dial() -> None:
        nonlocal opened
        one = socket.socket()
        one.setblocking(False)
        one.bind((f"127.0.0.{1 + opened % 4}", 0))
        with contextlib.suppress(BlockingIOError):
            one.connect((address, port))
        selector.register(one, selectors.EVENT_READ)
        opened += 1

    for _ in range(count):
        dial()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for key, _events in selector.select(0.1)[:10]:
            selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
            dial()
        for key in list(selector.get_map().values())[::50]:
            with contextlib.suppress(OSError):
                key.fileobj.send(b"x")  # type: ignore[union-attr]
        time.sleep(0.02)
    sys.stdout.write(f"{opened}\n")


if __name__ == "__main__":
    main()
