# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that somebody else has taken over: tries everything that it must not do, and prints what it could.

``attacker.py MODEL OTHER VICTIM``: the folder of its model, that of another one, and a file of root that it wants to delete.
It needs Python 3.9 alone, runs inside a transient unit (`molecule/model/tests/test_sandbox.py`), and changes nothing but these.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

MODEL, OTHER, VICTIM = (Path(one) for one in sys.argv[1:4])
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000


def call(name: str, *arguments: object) -> None:
    """A function of the C library that gives -1 when it is refused."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def write(path: str) -> None:
    file = Path(path)
    with file.open("ab") as opened:
        opened.write(b"")
    file.unlink()


def read(path: str) -> None:
    with Path(path).open("rb") as opened:
        if not opened.read(1):
            raise OSError("it looks empty")


def listed(path: str) -> None:
    if not list(Path(path).iterdir()):
        raise OSError("it looks empty")


def journals() -> list[Path]:
    found = [*Path("/var/log/journal").glob("*/system.journal"), *Path("/run/log/journal").glob("*/system.journal")]
    if not found:
        raise OSError("none is seen")
    return found


def move_and_delete() -> None:
    """What a pointer with this file as its oid once did."""
    moved = MODEL / "moved"
    try:
        VICTIM.replace(moved)
    finally:
        with contextlib.suppress(FileNotFoundError):
            moved.unlink()


def setuid_program() -> None:
    program = MODEL / "program"
    program.write_bytes(b"")
    try:
        program.chmod(0o4755)
    finally:
        program.unlink()


def generated_code() -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        pass


def processes_of_others() -> None:
    own = os.getuid()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(FileNotFoundError):
                if process.stat().st_uid != own:
                    return
    raise OSError("none is seen")


ATTACKS: dict[str, Callable[[], object]] = {
    "write to the model": lambda: write(f"{MODEL}/file"),
    "write to another model": lambda: write(f"{OTHER}/file"),
    "delete a file of root": VICTIM.unlink,
    "move a file of root": move_and_delete,
    "write to /etc": lambda: write("/etc/attack"),
    "write to /run": lambda: write("/run/attack"),
    "write to /var": lambda: write("/var/attack"),
    "write to /dev/shm": lambda: write("/dev/shm/attack"),
    "read passwords": lambda: read("/etc/shadow"),
    "read the keys of endpoints": lambda: listed("/etc/fullrank"),
    "read the key of sshd": lambda: read("/etc/ssh/ssh_host_ed25519_key"),
    "read root's home": lambda: listed("/root"),
    "read the journal": lambda: [read(str(file)) for file in journals()],
    "make a setuid program": setuid_program,
    "become root": lambda: os.setresuid(0, 0, 0),
    "become another user": lambda: os.setresuid(1000, 1000, 1000),
    "give a file away": lambda: os.chown(MODEL, 1000, 1000),
    "mount": lambda: call("mount", b"none", str(MODEL).encode(), b"tmpfs", 0, None),
    "make a user namespace": lambda: call("unshare", CLONE_NEWUSER),
    "change the root": lambda: os.chroot("/"),
    "name the machine": lambda: socket.sethostname(socket.gethostname()),
    "change a setting of the kernel": lambda: Path("/proc/sys/kernel/core_pattern").open("r+").close(),
    "write to a control group": lambda: Path("/sys/fs/cgroup/attack").mkdir(),
    "make a device": lambda: os.mknod(MODEL / "device", 0o20600, os.makedev(1, 3)),
    "read the kernel's log": lambda: read("/dev/kmsg"),
    "read raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "send raw packets": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "use a network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "reach this machine": lambda: socket.create_connection(("127.0.0.1", 22), 2).close(),
    "stop the first process": lambda: os.kill(1, 0),
    "see processes of others": processes_of_others,
    "generate code": generated_code,
}


def main() -> None:
    could = []
    for name, attack in ATTACKS.items():
        with contextlib.suppress(OSError, ValueError):
            attack()
            could.append(name)
    print(json.dumps({"could": could, "uid": os.getuid()}))


if __name__ == "__main__":
    main()
