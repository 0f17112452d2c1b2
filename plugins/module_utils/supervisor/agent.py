# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of a rank: the program of ``fullrank-supervisor@DEPLOYMENT.service``. Private to this collection.

It looks at its engine each second, talks to the supervisors of the other ranks, lets `decisions` decide, and does what
was decided. SIGTERM: stop the engine and leave the group. SIGHUP: read program and configuration again; the engine stays.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import completion
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    Engine,
    Follower,
    Head,
    Health,
    Limits,
    Report,
)
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.engine import LocalEngine
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.health import HealthProbe
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.messages import BIGGEST, Wire
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.notify import (
    keep_priority,
    notify,
    reexec,
    say,
)

RUN = Path("/run/fullrank")
ASK_S = 10.0
"""How long a completion may take before it is requested again; the health of the engine does not depend on it."""

ASK_EVERY_S = 5.0
METRICS_EVERY_S = 3.0
GOODBYES = 3


class EndpointProbe:
    """Asks the endpoint for completions and counters, in threads of its own, from when all ranks run until the epoch ends."""

    def __init__(self, url: str, model: str, api_key: str | None, limit: float, now: float) -> None:
        self._url, self._model, self._key = url, model, api_key
        self._probe = HealthProbe(limit, now)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.now = now
        for task in (self._completions, self._metrics):
            threading.Thread(target=task, daemon=True).start()

    def health(self, now: float) -> Health:
        """What was seen up to now."""
        with self._lock:
            self.now = now
            return self._probe.health(now)

    def end(self) -> None:
        """Ask no more."""
        self._over.set()

    def _completions(self) -> None:
        while not self._over.is_set():
            answer = completion.ask(self._url, self._model, self._key, ASK_S)
            with self._lock:
                self._probe.completion(answer, self.now)
            self._over.wait(ASK_EVERY_S if answer["ready"] else 1)

    def _metrics(self) -> None:
        while not self._over.wait(METRICS_EVERY_S):
            answer = http_client.request(f"{self._url}/metrics", timeout=METRICS_EVERY_S)
            if answer.status != 200 or answer.error:
                continue
            with self._lock:
                self._probe.metrics(answer.text, self.now)


class ReadyHandler(BaseHTTPRequestHandler):
    """GET /ready: 200 while the deployment is ready as this rank knows it, 503 otherwise, with the status as JSON."""

    agent: Agent
    timeout = 5

    def do_GET(self) -> None:
        """Answer."""
        status = self.agent.status
        code = 404 if self.path != "/ready" else 200 if self.agent.is_ready() else 503
        text = json.dumps(status).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """The journal is for what happens."""


class Server(ThreadingHTTPServer):
    """Without the name look-up of its base, which can take as long as a resolver that does not answer."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without a look-up of the host's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Agent:
    """This rank's supervisor. config: the configuration (names.supervisor_config). secret: the group's key and the API key."""

    def __init__(self, config: dict[str, Any], secret: dict[str, Any]) -> None:
        self.config, self.secret = config, secret
        self.deployment, self.rank = config["deployment"], config["rank"]
        self.addresses: list[str] = config["addresses"]
        # Its own time, which stands still while this process is kept from running: others are not blamed for that.
        self.now = self._clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        RUN.mkdir(parents=True, exist_ok=True)
        port = config["rendezvous_port"] if self.rank == 0 and len(self.addresses) > 1 else 0
        memory = RUN / f"{self.deployment}.epoch"
        self.engine = LocalEngine(self.deployment, memory, config["requires"], config["probe"], port)
        peers = range(1, len(self.addresses)) if self.rank == 0 else [0]
        key = str(secret["group_key"]).encode()
        self.wires = {peer: Wire(key, self.rank, peer, lambda: secrets.token_hex(8)) for peer in peers}
        self.core: Head | Follower
        if self.rank == 0:
            limits = Limits(config["meet_timeout"], config["ready_timeout"])
            self.core = Head(config["names"], config["spec"], limits, self.now)
        else:
            self.core = Follower(self.rank, config["spec"], self.now)
        self.probe: EndpointProbe | None = None
        self.probe_epoch = 0
        self.status: dict[str, Any] = decisions.view("waiting", "its supervisor starts", 0, 0, None)
        self.last_line = ""
        self.noted = 0
        self.datagrams = socket.socket(_family(self._own_address), socket.SOCK_DGRAM)
        self.datagrams.bind((self._own_address, config["port"]))
        listen = config["listen"] or self._own_address
        server = type("Server", (Server,), {"address_family": _family(listen)})
        self.http_server = server((listen, config["port"]), type("ReadyHandler", (ReadyHandler,), {"agent": self}))

    @property
    def _own_address(self) -> str:
        return self.addresses[self.rank] or "127.0.0.1"

    def is_ready(self) -> bool:
        """Whether the status is ready and at most 5 s old."""
        return bool(self.status.get("ready")) and time.clock_gettime(time.CLOCK_BOOTTIME) - self.status["at"] < 5

    def run(self) -> None:
        """Until SIGTERM."""
        signals: list[int] = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda got, _unused: signals.append(got))
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        threading.Thread(target=self.http_server.serve_forever, daemon=True).start()
        say(f"supervises rank {self.rank} of {len(self.addresses)}")
        goodbyes = 0
        next_tick = 0.0
        notify("READY=1")
        while goodbyes < GOODBYES:
            wait = max(0.0, next_tick - time.monotonic())
            readable, _unused, _unused = select.select([self.datagrams, wake], [], [], wait)
            if self.datagrams in readable:
                self._hear(*self.datagrams.recvfrom(BIGGEST))
            if wake in readable:
                wake.recv(64)
            if signal.SIGHUP in signals:
                say("reads program and configuration again")
                reexec()
            if signal.SIGTERM in signals and not self.core.leaving:
                say("leaves the group")
                self.core.leaving = True
                next_tick = 0.0
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + decisions.TICK_S
                engine = self._tick()
                notify("WATCHDOG=1")
                if self.core.leaving and engine.state == decisions.RUNNING:
                    self.engine.stop()
                if self.core.leaving and engine.state == decisions.STOPPED:
                    goodbyes += 1
                    next_tick = 0.0
        (RUN / f"{self.deployment}.json").unlink()

    def _hear(self, data: bytes, sender: tuple[Any, ...]) -> None:
        peers = [peer for peer in self.wires if self.addresses[peer] == sender[0]]
        for peer in peers:
            message = self.wires[peer].unpack(data, self.now)
            if message is None:
                continue
            if isinstance(self.core, Head):
                self.core.hear(peer, Report(message.body, self.now, message.heard_at))
            else:
                self.core.hear(message.body, self.now)

    def _tick(self) -> Engine:
        clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.now += min(clock - self._clock, 2 * decisions.TICK_S)
        self._clock = clock
        starting = isinstance(self.core, Head) and bool(self.core.epoch) and not self.core.complete
        engine = self.engine.look(self.now, starting)
        if isinstance(self.core, Head):
            decision = self.core.tick(self.now, engine, self._health(self.core))
        else:
            decision = self.core.tick(self.now, engine)
        if decision.act == "start":
            self.engine.start(decision.epoch)
        elif decision.act == "kill":
            self.engine.kill()
        for peer, wire in self.wires.items():
            with contextlib.suppress(OSError):  # no route while the link is down; its peer notices the silence
                self.datagrams.sendto(wire.pack(decision.body, self.now), (self.addresses[peer], self.config["port"]))
        self._show(dict(decision.view), engine, decision.act, clock)
        return engine

    def _health(self, head: Head) -> Health:
        if self.probe and (not head.complete or self.probe_epoch != head.epoch):
            self.probe.end()
            self.probe = None
        if not head.complete:
            return Health()
        if not self.probe:
            config = self.config
            self.probe_epoch = head.epoch
            self.probe = EndpointProbe(
                config["url"], config["model"], self.secret.get("api_key"), config["hang_timeout"], self.now
            )
        return self.probe.health(self.now)

    def _show(self, view: dict[str, Any], engine: Engine, act: str, clock: float) -> None:
        view |= {"deployment": self.deployment, "rank": self.rank, "ranks": len(self.addresses), "at": clock}
        view["engine"] = engine.state
        if view["ready"] and Path(names.drain_mark(self.deployment)).exists():
            view |= {
                "phase": "draining",
                "ready": False,
                "summary": "draining: what it has is answered, nothing new is taken",
            }
        if view["ready"] and self.noted != view["epoch"] and self.engine.note_ready():
            self.noted = view["epoch"]
        self.status = view
        common_files.write(RUN / f"{self.deployment}.json", json.dumps(view), 0o644, lasting=False)
        # the phase's own number counts down: one line for each state is enough
        summary = view["phase"] if view["phase"] in ("backoff", "loading", "stalled") else view["summary"]
        line = f"epoch {view['epoch']}: {summary}" + (f"; {act}s the engine" if act else "")
        if line != self.last_line:
            self.last_line = line
            failure = view["failure"]
            why = f" (last failure: rank {failure['rank']}: {failure['why']})" if failure and not view["epoch"] else ""
            say(line + why)
            notify(f"STATUS={line}")


def main() -> None:
    """``agent CONFIGURATION SECRET``: two JSON files."""
    keep_priority()
    config, secret = (json.loads(Path(file).read_text()) for file in sys.argv[1:3])
    Agent(config, secret).run()


if __name__ == "__main__":
    main()
