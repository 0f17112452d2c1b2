# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of a rank: the program of ``fullrank-supervisor@DEPLOYMENT.service``. Private to this collection.

It looks at its engine each second, talks to the supervisors of the other ranks, lets `decisions` decide, and has done what
was decided. Nothing that can take long happens in its own thread, and no file that cannot be written ends it. SIGTERM: stop
the engine and leave the group. SIGHUP: read program and configuration again; the engine stays.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import answer, tasks
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions, group_health
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    Engine,
    Follower,
    Head,
    Health,
    Limits,
    Report,
)
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.engine import LocalEngine
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.engine_worker import EngineWorker
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.health import OWN_CHECK, HealthProbe
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.messages import BIGGEST, Unproven, Wire
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.ready_server import ReadyServer, family
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.start_order import start_order
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.notify import (
    keep_priority,
    notify,
    reexec,
    say,
)

RUN = Path("/run/fullrank")
ASK_S = 10.0
"""How long an answer may take before it is requested again; the health of the engine does not depend on it."""

ASK_EVERY_S = 5.0
METRICS_EVERY_S = 3.0
CLOSER_EVERY_S, OWN_CHECK_S = 5.0, 25.0
"""Between two looks for signs of work that metrics do not show; how long the engine's own check may take, of which SGLang's
takes up to 20."""

GOODBYES = 3
RECEIVED_BYTES = 4 << 20
"""Of datagrams that wait to be read."""

SEND_WAIT_S = 0.05
"""For how long room for a datagram is waited for: words for a thousand ranks are more than a socket may hold."""


class EndpointProbe:
    """Asks the endpoint for answers and counters, in threads of its own, from when all ranks run until the epoch ends.

    config: the configuration. log: what the engine has logged in the last so many seconds.
    """

    def __init__(
        self,
        config: dict[str, Any],
        api_key: str | None,
        *,
        trust: http_client.Trust,
        log: Callable[[float], str],
        limit: float,
        now: float,
    ) -> None:
        self._url, self._model, self._key, self._trust = config["url"], config["model"], api_key, trust
        # a configuration of before there were tasks has none
        self._served = {"task": config.get("task", tasks.GENERATE), "engine": config.get("engine", "")}
        self._log = log
        self._probe = HealthProbe(limit, now)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.now = now
        try:
            for watch in (self._answers, self._metrics, self._closer):
                threading.Thread(target=watch, daemon=True).start()
        except RuntimeError:  # the node has no thread for it now
            self.end()
            raise

    def health(self, now: float) -> Health:
        """What was seen up to now."""
        with self._lock:
            self.now = now
            return self._probe.health(now)

    def end(self) -> None:
        """Ask no more."""
        self._over.set()

    def _answers(self) -> None:
        while not self._over.is_set():
            seen = answer.ask(self._url, self._model, self._key, ASK_S, self._trust, **self._served)
            with self._lock:
                self._probe.completion(seen, self.now)
            self._over.wait(ASK_EVERY_S if seen["ready"] else 1)

    def _metrics(self) -> None:
        while not self._over.wait(METRICS_EVERY_S):
            page = http_client.request(f"{self._url}/metrics", timeout=METRICS_EVERY_S, trust=self._trust)
            if page.status != 200 or page.error:
                continue
            with self._lock:
                self._probe.metrics(page.text, self.now)

    def _closer(self) -> None:
        while not self._over.wait(CLOSER_EVERY_S):
            with self._lock:
                quiet = self._probe.is_quiet(self.now)
            if not quiet:
                continue
            lines = self._log(2 * CLOSER_EVERY_S)
            with self._lock:
                self._probe.logged(lines, self.now)
                if not self._probe.is_quiet(self.now):
                    continue
            answer = http_client.request(f"{self._url}{OWN_CHECK}", timeout=OWN_CHECK_S, trust=self._trust)
            with self._lock:
                self._probe.own_check(answer.status, self.now)


class Agent:
    """This rank's supervisor. config: the configuration (names.supervisor_config). secret: the group's key and the API key."""

    def __init__(self, config: dict[str, Any], secret: dict[str, Any]) -> None:
        self.config, self.secret = config, secret
        self.deployment, self.rank = config["deployment"], config["rank"]
        self.addresses: list[str] = config["addresses"]
        # Its own time, which stands still while this process is kept from running: others are not blamed for that.
        self.now = self._clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        order = start_order(config)
        port = order.port if self.rank == 0 and len(self.addresses) > 1 else 0
        memory = RUN / f"{self.deployment}.epoch"
        self.engine = EngineWorker(LocalEngine(self.deployment, memory, config["requires"], config["probe"], port))
        peers = range(1, len(self.addresses)) if self.rank == 0 else [0]
        key = str(secret["group_key"]).encode()
        self.wires = {peer: Wire(key, self.rank, peer, lambda: secrets.token_hex(8)) for peer in peers}
        self.peers_at: dict[str, list[int]] = {}
        for peer in peers:
            self.peers_at.setdefault(self.addresses[peer], []).append(peer)
        self.core: Head | Follower
        if self.rank == 0:
            limits = Limits(config["meet_timeout"], config["ready_timeout"])
            self.core = Head(config["names"], config["spec"], limits, self.now, order)
        else:
            self.core = Follower(self.rank, config["spec"], self.now)
        self.probe: EndpointProbe | None = None
        self.probe_epoch = 0
        self.status: dict[str, Any] = decisions.view("waiting", "its supervisor starts", 0, 0, None)
        self.status_trouble = ""
        self.last_line = self.last_troubles = ""
        self.datagrams = socket.socket(family(self._own_address), socket.SOCK_DGRAM)
        self.datagrams.setblocking(False)
        with contextlib.suppress(OSError):  # a thousand ranks may speak in one moment; the system gives what it allows
            self.datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        self.datagrams.bind((self._own_address, config["port"]))
        self.ready_server = ReadyServer(
            config["listen"] or self._own_address, config["port"], lambda: (self.is_ready(), self.status)
        )

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
        threading.Thread(target=self.ready_server.serve, daemon=True).start()
        say(f"supervises rank {self.rank} of {len(self.addresses)}")
        goodbyes = 0
        next_tick, next_again = 0.0, float("inf")
        notify("READY=1")
        while goodbyes < GOODBYES:
            wait = max(0.0, min(next_tick, next_again) - time.monotonic())
            readable, _unused, _unused = select.select([self.datagrams, wake], [], [], wait)
            if self.datagrams in readable:
                self._hear_waiting()
            if wake in readable:
                wake.recv(64)
            if signal.SIGHUP in signals and not self.engine.is_starting:
                say("reads program and configuration again")
                with contextlib.suppress(OSError):  # no descriptor or memory now
                    reexec()
            if signal.SIGTERM in signals and not self.core.leaving:
                say("leaves the group")
                self.core.leaving = True
                next_tick = 0.0
            if time.monotonic() >= next_again:
                next_again = float("inf")
                for peer, wire in self.wires.items():
                    self._send(peer, wire.again(self.now))
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + decisions.TICK_S
                next_again = time.monotonic() + decisions.AGAIN_S
                engine = self._tick()
                notify("WATCHDOG=1")
                if engine and self.core.leaving and engine.state in decisions.ALIVE:
                    self.engine.stop()
                if engine and self.core.leaving and engine.state == decisions.STOPPED:
                    goodbyes += 1
                    next_tick = 0.0
        with contextlib.suppress(OSError):
            self._status_file.unlink()

    def _hear_waiting(self) -> None:
        """What waits to be read, as many as one word of each rank: a tick must not wait for more."""
        with contextlib.suppress(OSError):  # no more of them; or one was damaged
            for _unused in range(len(self.wires) + 1):
                self._hear(*self.datagrams.recvfrom(BIGGEST))

    def _hear(self, data: bytes, sender: tuple[Any, ...]) -> None:
        for peer in self.peers_at.get(sender[0], ()):
            message = self.wires[peer].unpack(data, self.now)
            if message is None:
                continue
            if isinstance(message, Unproven):
                self._send(peer, self.wires[peer].answer(message, self.now))
            elif isinstance(self.core, Head):
                self.core.hear(peer, Report(message.body, self.now, message.heard_at))
            else:
                self.core.hear(message.body, self.now)

    def _send(self, peer: int, data: bytes) -> None:
        place = (self.addresses[peer], self.config["port"])
        with contextlib.suppress(OSError):  # no route while the link is down, say; its peer notices the silence
            try:
                self.datagrams.sendto(data, place)
            except BlockingIOError:
                select.select([], [self.datagrams], [], SEND_WAIT_S)
                self.datagrams.sendto(data, place)

    def _tick(self) -> Engine | None:
        """One look and what follows from it; None, and no word to the others, before the engine could be looked at once."""
        clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.now += min(clock - self._clock, 2 * decisions.TICK_S)
        self._clock = clock
        engine = self.engine.look(self.now, isinstance(self.core, Head) and self.core.awaits_port)
        if engine is None:
            return None
        if isinstance(self.core, Head):
            own = self._health(self.core.epoch if self.core.complete else 0)
            health = group_health.of_group(own, self.core.health_of_others, self.config["names"])
            decision = self.core.tick(self.now, engine, health)
        elif self.config.get("serves"):  # a configuration of before has none
            own = self._health(engine.epoch if engine.state == decisions.RUNNING else 0)
            decision = self.core.tick(self.now, engine, group_health.words(own))
        else:
            decision = self.core.tick(self.now, engine)
        if decision.act == "start":
            self.engine.start(decision.epoch)
        elif decision.act == "kill":
            self.engine.kill()
        for peer, wire in self.wires.items():
            self._send(peer, wire.pack(decision.words_for(peer), self.now))
        self._show(dict(decision.view), engine, decision.act, clock)
        return engine

    def _health(self, epoch: int) -> Health:
        """Of this rank's own endpoint. epoch: of the engine that serves it; 0 while it is not worth asking."""
        if self.probe and self.probe_epoch != epoch:
            self.probe.end()
            self.probe = None
        if not epoch:
            return Health()
        if not self.probe:
            config = self.config
            self.probe_epoch = epoch
            trust = http_client.Trust(certificate=config.get("certificate", ""))
            key = self.secret.get("api_key")
            try:
                limit, log = config["hang_timeout"], self.engine.log
                self.probe = EndpointProbe(config, key, trust=trust, log=log, limit=limit, now=self.now)
            except RuntimeError as error:
                return Health(summary=str(error))
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
        if view["ready"]:
            self.engine.note_ready(view["epoch"], self.now)
        troubles = [*self.engine.troubles, self.ready_server.trouble, self.status_trouble]
        view["troubles"] = [one for one in troubles if one]
        self.status = view
        self._write_status(json.dumps(view))
        # the phase's own number counts down: one line for each state is enough
        summary = view["phase"] if view["phase"] in ("backoff", "loading", "stalled") else view["summary"]
        line = f"epoch {view['epoch']}: {summary}" + (f"; {act}s the engine" if act else "")
        if line != self.last_line:
            self.last_line = line
            failure = view["failure"]
            why = f" (last failure: rank {failure['rank']}: {failure['why']})" if failure and not view["epoch"] else ""
            say(line + why)
            notify(f"STATUS={line}")
        shown = "; ".join(view["troubles"])
        if shown != self.last_troubles:
            self.last_troubles = shown
            say(f"trouble: {shown}" if shown else "the trouble is over")

    @property
    def _status_file(self) -> Path:
        return RUN / f"{self.deployment}.json"

    def _write_status(self, text: str) -> None:
        """For `fullrank-check`. Where there is no room for a new file the old one is written over, which needs none."""
        try:
            common_files.write(self._status_file, text, 0o644, lasting=False)
            self.status_trouble = ""
        except OSError as error:
            self.status_trouble = f"cannot write {self._status_file}: {error.strerror}"
            with contextlib.suppress(OSError), self._status_file.open("r+b", buffering=0) as file:
                file.write(text.encode())
                file.truncate()


def main() -> None:
    """``agent CONFIGURATION SECRET``: two JSON files."""
    keep_priority()
    config, secret = (json.loads(Path(file).read_text()) for file in sys.argv[1:3])
    Agent(config, secret).run()


if __name__ == "__main__":
    main()
