# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where facts are read from a node: files below a root, and outputs of commands.

Everything else in the fact and preflight code is a function of what this reader returns. With another root than ``/``
it reads a *recorded* node: the files below the root, and instead of running a command the file
``<root>/commands/<the words of the command, joined by one space>`` (a line ``rc=<n>`` at its top gives the exit
status, 0 without it). That is how tests plant faults, and how a user can send in what a node looks like.

PRIVATE to this collection.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 16 << 20  # /proc/net/tcp of a busy server is megabytes; no file we read is larger
PIECE_BYTES = 64 << 10
SIDE_BY_SIDE = 32  # commands and connections under way at once


@dataclass(frozen=True)
class CommandResult:
    """What a command answered. ``rc`` 124: it did not end within the time allowed (as timeout(1) reports it)."""

    rc: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The first line that is not empty, for messages: of stderr, else of stdout."""
        lines = [line.strip() for line in (self.stderr + "\n" + self.stdout).splitlines() if line.strip()]
        return lines[0] if lines else ""


class Host:
    """Reads a node, live (``root="/"``) or recorded. Never writes; a thing that cannot be read is ``None`` or empty.

    ``started`` is the node's clock when the reader was made, in seconds since the epoch; None if not recorded.
    """

    def __init__(self, root: str = "/", timeout_s: float = 60.0) -> None:
        self.root = Path(root).resolve()
        self.timeout_s = timeout_s
        self.started = self.now()

    @property
    def live(self) -> bool:
        return self.root == Path("/")

    def path(self, path: str) -> Path:
        """``/sys/x`` as a path of this process."""
        return self.root / path.lstrip("/")

    def read_bytes(self, path: str) -> bytes | None:
        """The content, or None: sysfs answers EINVAL for a GID outside this network namespace, ENOENT for an attribute
        of another kernel, EACCES to a user that is not root; none of them is an error of ours."""
        try:
            with self.path(path).open("rb") as file:
                # by pieces: files in /proc/sys refuse a read into a large buffer with ENOMEM
                pieces = iter(lambda: file.read(PIECE_BYTES), b"")
                return b"".join(itertools.islice(pieces, MAX_BYTES // PIECE_BYTES))
        except OSError:
            return None

    def read(self, path: str) -> str | None:
        """The content as text without white space around it (drivers differ in how many newlines they end with)."""
        raw = self.read_bytes(path)
        return None if raw is None else raw.decode("utf-8", "replace").strip()

    def read_int(self, path: str) -> int | None:
        text = self.read(path)
        try:
            return int(text, 0) if text else None
        except ValueError:
            return None

    def entries(self, path: str) -> list[str]:
        """Names in a directory, mlx5_2 before mlx5_10; none where there is no such directory."""
        try:
            return sorted((entry.name for entry in self.path(path).iterdir()), key=natural_key)
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        try:
            return self.path(path).exists()
        except OSError:
            return False

    def resolve(self, path: str) -> str | None:
        """Where a path leads, as seen from the root; None where it leads nowhere or out of the root."""
        try:
            return "/" + str(self.path(path).resolve(strict=True).relative_to(self.root))
        except (OSError, RuntimeError, ValueError):  # missing, a loop of links, outside
            return None

    def link_name(self, path: str) -> str | None:
        """The last part of what a symbolic link points to, even where the target is not there (a driver, a master)."""
        try:
            return self.path(path).readlink().name
        except OSError:
            return None

    def run(self, *argv: str) -> CommandResult | None:
        return self.run_all([argv])[0]

    def run_all(self, commands: Sequence[Sequence[str]]) -> list[CommandResult | None]:
        """The commands side by side; None for a command that is not installed.

        Side by side, because each call of nvidia-smi takes seconds to set up every GPU when nothing holds them open.
        """
        if not self.live:
            return [self._recorded(argv) for argv in commands]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            return list(pool.map(self._execute, commands))

    def now(self) -> float | None:
        """Seconds since the epoch; recorded as the output of ``date +%s``."""
        if self.live:
            return time.time()
        result = self._recorded(["date", "+%s"])
        try:
            return float(result.stdout) if result else None
        except ValueError:
            return None

    def connect_all(self, targets: Sequence[tuple[str, int]], source: str | None, timeout_s: float) -> list[str | None]:
        """What a TCP connection from the source address to each target meets: ``open``, ``refused`` (the machine
        answered that no process listens), ``timeout``, ``unreachable``, or the error in words. Nothing is sent.

        Recorded as ``commands/connect <address> <port>``; None where that is missing.
        """
        if self.live:
            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                return list(pool.map(lambda target: _connect(target, source, timeout_s), targets))
        recorded = [self._recorded(["connect", address, str(port)]) for address, port in targets]
        return [result.stdout.strip() if result else None for result in recorded]

    def _recorded(self, argv: Sequence[str]) -> CommandResult | None:
        raw = self.read_bytes("/commands/" + " ".join(argv))
        if raw is None:
            return None
        text = raw.decode("utf-8", "replace")
        first, _unused, rest = text.partition("\n")
        if first.startswith("rc=") and first[3:].isdigit():
            return CommandResult(int(first[3:]), rest, "")
        return CommandResult(0, text, "")

    def _execute(self, argv: Sequence[str]) -> CommandResult | None:
        env = dict(os.environ, LC_ALL="C", LANG="C")
        # sudo and systemd hand down short paths; tools of the administrator live in sbin
        env["PATH"] = env.get("PATH", "") + os.pathsep + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        try:
            done = subprocess.run(
                list(argv),
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return CommandResult(124, "", f"{argv[0]} did not answer within {self.timeout_s:g} s")
        except OSError:
            return None
        return CommandResult(
            done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )


def _connect(target: tuple[str, int], source: str | None, timeout_s: float) -> str:
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            if source:
                connection.bind((source, 0))
            connection.connect(target)
        except ConnectionRefusedError:
            return "refused"
        except (TimeoutError, socket.timeout):  # noqa: UP041 - two classes before Python 3.10
            return "timeout"
        except OSError as error:
            return "unreachable" if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH) else str(error)
    return "open"


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which numbers inside names count as numbers: mlx5_2 < mlx5_10.

    >>> sorted(["mlx5_10", "mlx5_2"], key=natural_key)
    ['mlx5_2', 'mlx5_10']
    """
    parts: list[tuple[int, int, str]] = []
    word, digits = "", ""
    for char in name + "\0":
        if char.isascii() and char.isdigit():
            digits += char
            if word:
                parts.append((1, 0, word))
                word = ""
        else:
            if digits:
                parts.append((0, int(digits), digits))
                digits = ""
            word += char
    parts.append((1, 0, word))
    return parts
