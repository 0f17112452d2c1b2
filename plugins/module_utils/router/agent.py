# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher of a router: the program of ``fullrank-router@NAME.service``. Private to this collection.

It asks the supervisor of each replica's head every second whether the replica is ready, and tells nginx (and smg, where that
balances) which replicas get requests. Both are its children. SIGTERM: let requests end, and leave. SIGHUP: read program and
configuration again; requests go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.router import upstreams
from ansible_collections.fullrank.serving.plugins.module_utils.router.upstreams import Server
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.notify import notify, reexec, say

LOOK_S = 0.5
"""How often what was heard is acted on."""

STOP_S = 30.0
"""What requests get to end in when the router is stopped."""

START_S = 10.0
TEST_S = 10.0
RETRY_S = 5.0
NGINX = "/usr/sbin/nginx"
CHILDREN = "FULLRANK_ROUTER_CHILDREN"


def ask(url: str) -> tuple[bool | None, str]:
    """Whether the supervisor behind a URL is ready, None when it does not answer; and its summary, or the reason."""
    answer = http_client.request(url, timeout=upstreams.ASK_S)
    status = http_client.json_object(answer.body)
    if not answer.status or (answer.status == 200 and not status):
        return None, f"its supervisor is not heard: {answer.error or 'no JSON object'}"
    return answer.status == 200, str(
        status.get("summary", "ready" if answer.status == 200 else f"HTTP {answer.status}")
    )


def call(method: str, url: str, body: Any = None) -> Any:
    """Send the balancer a request: the JSON of its answer. Raises OSError where it refuses, ValueError without JSON."""
    answer = http_client.request(url, method=method, body=body, timeout=upstreams.ASK_S)
    if answer.error or answer.status >= 300:
        raise OSError(answer.error or f"HTTP {answer.status}")
    return answer.json()


class Watch:
    """Asks about each replica in a thread of its own."""

    def __init__(self, servers: list[dict[str, str]]) -> None:
        self.servers = [Server(one["name"], one["url"], one["ready"]) for one in servers]
        self.lock = threading.Lock()
        self.first_answers = threading.Barrier(1 + sum(bool(server.ready) for server in self.servers))
        for server in self.servers:
            if server.ready:
                threading.Thread(target=self._watch, args=(server,), daemon=True).start()

    def _watch(self, server: Server) -> None:
        first = True
        while True:
            answer, summary = ask(server.ready)
            with self.lock:
                was = server.is_ready
                server.heard(answer, summary)
                if first or was != server.is_ready:
                    say(f"{server.name} {'gets' if server.is_ready else 'gets no'} requests: {summary}")
            if first:
                first = False
                self.first_answers.wait()
            time.sleep(upstreams.POLL_S)


class Children:
    """nginx and the balancer, over an exec of this program too."""

    def __init__(self) -> None:
        inherited = json.loads(os.environ.pop(CHILDREN, "{}"))
        self.pids: dict[str, int] = inherited.get("pids", {})
        self.argv: dict[str, list[str]] = inherited.get("argv", {})

    def start(self, name: str, argv: list[str]) -> None:
        self.pids[name] = os.posix_spawn(argv[0], argv, os.environ)
        self.argv[name] = argv

    def ended(self) -> list[str]:
        """Those that have ended since they were started."""
        gone = []
        for name, pid in list(self.pids.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                gone.append(name)
                del self.pids[name]
        return gone

    def tell(self, name: str, number: signal.Signals) -> None:
        if name in self.pids:
            os.kill(self.pids[name], number)

    def wait(self, name: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while name in self.pids and time.monotonic() < until:
            self.ended()
            time.sleep(0.1)

    def hand_over(self) -> None:
        """For the program that follows this one in the same process."""
        os.environ[CHILDREN] = json.dumps({"pids": self.pids, "argv": self.argv})


class Agent:
    """One route. config: path of its file."""

    def __init__(self, config: Path) -> None:
        self.config, self.nginx_config = config, config.with_suffix(".nginx.conf")
        self.route: dict[str, Any] = json.loads(config.read_text())
        self.digest = hashlib.sha256(config.read_bytes() + self.nginx_config.read_bytes()).hexdigest()
        self.run_folder = Path(os.environ["RUNTIME_DIRECTORY"])
        self.children = Children()
        self.shown = ""
        self.error = ""
        self.tested_at = 0.0
        self.signals: set[int] = set()
        usage = subprocess.run([NGINX, "-h"], capture_output=True, text=True, check=False)
        log = ["-e", "stderr"] if "-e filename" in usage.stderr + usage.stdout else []  # from 1.19.5 on
        self.nginx = [NGINX, *log, "-c", str(self.nginx_config)]

    def run(self) -> int:
        """Until SIGTERM; the exit status."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda got, _unused: self.signals.add(got))
        balancer = self.route["balancer"]
        if balancer.get("argv") != self.children.argv.get("balancer"):
            self.children.tell("balancer", signal.SIGTERM)
            self.children.wait("balancer", STOP_S)
        self.watch = Watch(self.route["servers"])
        self.watch.first_answers.wait()
        if not self._apply():
            return 1
        if not self._listens():
            say(f"nginx does not listen on port {self.route['port']}")
            return 1
        notify("READY=1")
        while signal.SIGTERM not in self.signals:
            time.sleep(LOOK_S)
            if signal.SIGHUP in self.signals:
                say("reads program and configuration again")
                self.children.hand_over()
                reexec()
            if "nginx" in self.children.ended():
                say("nginx has ended")
                return 1
            self._apply()
            notify("WATCHDOG=1")
        say("leaves; requests have some time to end")
        self.children.tell("nginx", signal.SIGQUIT)
        self.children.wait("nginx", STOP_S)
        self._file("status.json").unlink()
        return 0

    def _apply(self) -> bool:
        """Bring nginx and the balancer to what was heard; whether nginx runs."""
        with self.watch.lock:
            wanted = upstreams.servers_file(self.route, self.watch.servers)
        if self.route["balancer"]:
            self._tell_balancer()
        if wanted != self.shown or (self.error and time.monotonic() > self.tested_at + RETRY_S):
            self.shown = wanted
            self._write("servers.conf", wanted)
            self._load_nginx()
        self._show()
        return "nginx" in self.children.pids

    def _load_nginx(self) -> None:
        previous, self.error = self.error, self._test_nginx()
        self.tested_at = time.monotonic()
        if self.error:
            if previous != self.error:
                say(f"nginx refuses its configuration: {self.error}")
        elif "nginx" in self.children.pids:
            self.children.tell("nginx", signal.SIGHUP)
        else:
            self.children.start("nginx", self.nginx)

    def _test_nginx(self) -> str:
        """What nginx has against its configuration; it also looks up names, which may take long."""
        test = [*self.nginx, "-t", "-q"]
        try:
            done = subprocess.run(test, capture_output=True, text=True, check=False, timeout=TEST_S)
        except subprocess.TimeoutExpired:
            return f"no word after {TEST_S:.0f} s"
        return done.stderr.strip() if done.returncode else ""

    def _tell_balancer(self) -> None:
        balancer = self.route["balancer"]
        self.children.ended()
        if "balancer" not in self.children.pids:
            self.children.start("balancer", balancer["argv"])
        url = f"http://127.0.0.1:{balancer['port']}/workers"
        # it is not there in its first moments, and asked again soon
        with contextlib.suppress(OSError, ValueError, KeyError):
            with self.watch.lock:
                missing, surplus = upstreams.workers_to_change(self.watch.servers, call("GET", url)["workers"])
            for one in missing:
                call("POST", url, upstreams.worker(self.route, one))
            for one in surplus:
                call("DELETE", f"{url}/{one}")

    def _listens(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.route["host"], self.route["host"])
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection((host, self.route["port"]), 1):
                return True
            time.sleep(0.1)
        return False

    def _show(self) -> None:
        with self.watch.lock:
            servers = {one.name: {"ready": one.is_ready, "summary": one.summary} for one in self.watch.servers}
            ready = upstreams.is_open(self.watch.servers)
        status = {"name": self.route["name"], "ready": ready, "servers": servers, "error": self.error}
        self._write("status.json", json.dumps({**status, "config": self.digest}))

    def _file(self, name: str) -> Path:
        return self.run_folder / name

    def _write(self, name: str, text: str) -> None:
        common_files.write(self._file(name), text, 0o644, lasting=False)


def main() -> int:
    """``agent CONFIGURATION``."""
    return Agent(Path(sys.argv[1])).run()


if __name__ == "__main__":
    raise SystemExit(main())
