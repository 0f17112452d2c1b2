#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a faulty wire: passes connections on and flips one bit in some of the pieces that come back.

flip.py LISTEN_PORT TARGET_ADDRESS TARGET_PORT FLIPS
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

PIECE = 1 << 16
left = int(sys.argv[4])


def carry(source: socket.socket, target: socket.socket, damage: bool) -> None:
    global left  # noqa: PLW0603 (a wire has one fault, whatever runs over it)
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            if damage and left and len(data) > PIECE // 2:
                left -= 1
                data = data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]
                print("flipped", flush=True)
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def main() -> None:
    listener = socket.create_server(("", int(sys.argv[1])))
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection((sys.argv[2], int(sys.argv[3])))
        except ConnectionRefusedError:  # the node does not listen yet: a wire only passes that on
            near.close()
            continue
        threading.Thread(target=carry, args=(near, far, False), daemon=True).start()
        threading.Thread(target=carry, args=(far, near, True), daemon=True).start()


if __name__ == "__main__":
    main()
