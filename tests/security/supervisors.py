# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real supervisors on loopback: the program as a node gets it, each in a mount namespace of its own with small /run and /var/lib.

What stands in: systemctl, by a script whose unit is a sleeping process, and the endpoint, which answers every request.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files, payload
from ansible_collections.fullrank.serving.plugins.module_utils.rank import units
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import agent

SYSTEMCTL = """\
#!/bin/sh
# systemctl of a node of tests/security: $NODE/delay.VERB has the seconds that a command takes
[ -e "$NODE/delay.$1" ] && sleep "$(cat "$NODE/delay.$1")"
pid=$(cat "$NODE/pid" 2>/dev/null)
grep -qs '^State:.[RS]' "/proc/${pid:-none}/status" || pid=
case $1 in
start)
    [ "$pid" ] && exit
    cat /proc/sys/kernel/random/uuid > "$NODE/invocation"
    FULLRANK_SPEC_HASH=launch setsid sleep 600 > /dev/null 2>&1 & echo $! > "$NODE/pid" ;;
kill | stop)
    [ "$pid" ] && kill -9 "$pid" ;;
show)
    case "$*" in
    *MainPID*) echo "${pid:-0}" ;;
    *--value*InvocationID*) cat "$NODE/invocation" ;;
    *)
        echo "ActiveState=$([ "$pid" ] && echo active || echo inactive)"
        printf 'Result=success\\nExecMainStatus=0\\nControlGroup=\\nInvocationID=' ; cat "$NODE/invocation" 2>/dev/null || echo ;;
    esac ;;
esac
exit 0
"""

# a rendezvous port is looked for by the unit of its owner, and the stand-in has no unit
PROGRAM = f"""\
from {units.SUPERVISOR_PACKAGE}.supervisor import agent, engine
engine.LocalEngine._listens = lambda self: True
agent.main()
"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers every completion."""

    def do_POST(self) -> None:
        body = b'{"choices": [{"text": "yes"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not read by any test."""


def soon(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until it is so; what it returned."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "not within the time"
        time.sleep(0.05)
    return found


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Supervisor:
    """One rank. folder: for its program, its files and its node's state."""

    def __init__(self, folder: Path, config: dict[str, Any], address: str) -> None:
        self.folder, self.config, self.address = folder, config, address
        self.process: subprocess.Popen[bytes] | None = None
        files.write(folder / "bin/systemctl", SYSTEMCTL, 0o755)
        files.write(folder / "config.json", json.dumps(config), 0o644)
        files.write(folder / "secret.json", json.dumps({"group_key": "k" * 32, "api_key": None}), 0o600)
        for path, text in payload.files(agent, units.SUPERVISOR_PACKAGE).items():
            files.write(folder / "program" / path, text, 0o644)

    def start(self, descriptors: int = 1024, output: str = "") -> None:
        """Run it. descriptors: its limit. output: where its journal goes; a file of its folder when empty."""
        script = (
            "mount -t tmpfs -o size=64k none /run; mount -t tmpfs -o size=64k none /var/lib;"
            f"[ -e {self.folder}/full ] && for there in /run /var/lib; do"
            " mkdir $there/fullrank; head -c 1M /dev/zero > $there/ballast 2> /dev/null; done;"
            f"ulimit -n {descriptors};"
            # as Restart= and Nice= of its unit do
            f"while sleep 0.5; do nice -n -10 {sys.executable} -c '{PROGRAM}'"
            f" {self.folder}/config.json {self.folder}/secret.json; done"
        )
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "program"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE": str(self.folder),
        }
        with Path(output or self.folder / "journal").open("ab") as journal:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "timeout", "300", "sh", "-c", script],
                env=environment, stdout=journal, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the supervisor itself."""
        assert self.process
        shell = _children(self.process.pid)[0]
        return int(soon(lambda: [pid for pid in _children(shell) if b"fullrank" in _command(pid)])[0])

    @property
    def engine_pid(self) -> int:
        return int((self.folder / "pid").read_text())

    @property
    def journal(self) -> str:
        return (self.folder / "journal").read_text()

    def root(self, path: str) -> Path:
        """A path as its node sees it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def delay(self, verb: str, seconds: float) -> None:
        """Let a command of systemctl take so long."""
        (self.folder / f"delay.{verb}").write_text(str(seconds))

    def ask(self, timeout: float = 2.0) -> dict[str, Any]:
        """The answer of /ready, with its HTTP status as ``code``; the time limit is that of routers."""
        with socket.create_connection((self.address, self.config["port"]), timeout) as connection:
            connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while piece := connection.recv(65536):
                got += piece
        head, _between, body = got.partition(b"\r\n\r\n")
        return {**json.loads(body), "code": int(head.split()[1])}

    def state(self) -> dict[str, Any]:
        """The same; empty while it does not answer."""
        with contextlib.suppress(OSError, ValueError):
            return self.ask()
        return {}

    def crash(self) -> None:
        """It ends, and is started again; its engine stays."""
        os.kill(self.pid, 9)

    def end(self) -> None:
        """At once; its engine stays."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait()

    def kill_engine(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.engine_pid, 9)


class Group:
    """Supervisors of a group, each at an address 127.1.0.N."""

    def __init__(self, folder: Path, ranks: int) -> None:
        self.endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        threading.Thread(target=self.endpoint.serve_forever, daemon=True).start()
        addresses = [f"127.1.0.{rank + 1}" for rank in range(ranks)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.ranks = [
            Supervisor(
                folder / f"n{rank}",
                {
                    "deployment": "tiny", "rank": rank, "names": [f"n{r}" for r in range(ranks)], "addresses": addresses,
                    "port": port, "listen": "", "spec": "s", "url": f"http://127.0.0.1:{self.endpoint.server_port}",
                    "model": "tiny", "requires": [], "meet_timeout": 60, "ready_timeout": 60, "hang_timeout": 120,
                    "files": [], "rendezvous_port": 1, "probe": [],
                },
                addresses[rank],
            )
            for rank in range(ranks)
        ]  # fmt: skip

    @property
    def head(self) -> Supervisor:
        return self.ranks[0]

    def up(self, seconds: float = 60) -> None:
        """Wait until it is ready."""
        soon(lambda: self.head.state().get("code") == 200, seconds)

    def end(self) -> None:
        for one in self.ranks:
            one.end()
            one.kill_engine()
        self.endpoint.shutdown()
        self.endpoint.server_close()
