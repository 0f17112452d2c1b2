# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node of a transfer gets what it lacks: slice by slice, several at a time, around nodes that are dead, slow or damaged.

A slice counts, and is passed on, when its CRC-32 is the one that its first owner computed. Private to this collection.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.server import CRC_HEADER
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.slices import (
    CHECKING,
    COMPARE,
    FASTER,
    LEAVE,
    MOST_HOLD_S,
    File,
    Route,
    Stop,
    Upstream,
    judge,
    log,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.target import (
    CHUNK_BYTES,
    Folder,
    crc_on_disk,
)

CONNECT_S = 5
SILENCE_S = 15  # of a connection, after which it is given up
SCOUT_S = 2
# A node that seems slow is compared with the one before it, for this long.
PROBE_S = 1.0
PROBE_AFTER_S = 10.0
# damaged slices: in a row from one node, before another one is tried; and of one slice, before we give up
MOST_DAMAGED = 3
MOST_DAMAGED_OF_ONE = 6


class NotYet(Exception):
    """The other node has not got the slice yet."""


class Damaged(Exception):
    """What came is not what was sent."""


class Left(Exception):
    """The node a slice is coming from is no longer the one we want it from."""


class Connection:
    """One connection to one node, made when needed."""

    def __init__(self, upstream: Upstream, token: str) -> None:
        self.upstream, self.token = upstream, token
        self.connection: http.client.HTTPConnection | None = None

    def request(self, method: str, path: str) -> http.client.HTTPResponse:
        """The answer to a request; ``NotYet`` for a slice that is not there, OSError for everything else that is not it."""
        response = self._send(method, f"/{self.token}/{path}")
        if response.status == 503:
            response.read()
            raise NotYet
        if response.status != 200:
            response.read()
            raise OSError(f"it answers {response.status}")
        return response

    def status(self) -> dict[str, Any]:
        """The state of a node; empty when it does not answer."""
        try:
            return dict(json.loads(self.request("GET", "status").read()))
        except (OSError, http.client.HTTPException, NotYet, ValueError):
            self.close()
            return {}

    def _send(self, method: str, path: str) -> http.client.HTTPResponse:
        if self.connection is not None:
            try:
                self.connection.request(method, path)
                return self.connection.getresponse()
            except (ConnectionError, http.client.HTTPException):
                self.close()  # it may have been closed while there was nothing to request
        self.connection = http.client.HTTPConnection(self.upstream.address, self.upstream.port, timeout=CONNECT_S)
        self.connection.connect()
        self.connection.sock.settimeout(SILENCE_S)
        self.connection.request(method, path)
        return self.connection.getresponse()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Bringing:
    """Threads that bring what is missing, until everything is in its place or this node cannot go on."""

    def __init__(self, folder: Folder, route: Route, stall_s: float) -> None:
        self.folder, self.route, self.stall_s = folder, route, stall_s
        self.shelf, self.progress = folder.shelf, folder.progress

    def work(self) -> list[Callable[[], None]]:
        """What is done side by side."""
        raise NotImplementedError

    def run(self) -> None:
        """Until everything is in its place; raises ``Stop``."""
        for one in self.work():
            threading.Thread(target=self._guard, args=(one,), daemon=True).start()
        while not (self.shelf.complete or self.shelf.stopped):
            with self.shelf.news:
                self.shelf.news.wait(0.5)
            if self.progress.quiet_s > self.stall_s:
                self.shelf.stop(self._stalled())
        self.shelf.stop()
        if self.shelf.failure:
            raise Stop(self.shelf.failure)

    def _guard(self, work: Callable[[], None]) -> None:
        """A thread that fails ends the transfer on this node, with its reason."""
        try:
            work()
        except Stop as stop:
            self.shelf.stop(str(stop))
        except Exception as error:  # a mistake of ours must not look like a slow network
            self.shelf.stop(f"{type(error).__name__}: {error}")
            raise

    def _stalled(self) -> str:
        missing = self.shelf.total - self.shelf.bytes
        names = ", ".join(one.name for one in self.route.upstreams)
        quiet = self.progress.quiet_s
        return (
            f"{missing} bytes are missing, and nothing new came for {quiet:.0f} s from {names}: {self.route.reasons()}"
        )


class Receiver(Bringing):
    """Brings slices, several at a time."""

    def __init__(self, folder: Folder, route: Route, *, token: str, streams: int, stall_s: float) -> None:
        super().__init__(folder, route, stall_s)
        self.token, self.streams = token, streams
        self.damaged_of: Counter[tuple[int, int]] = Counter()
        self.damaged_by: Counter[Upstream] = Counter()

    def work(self) -> list[Callable[[], None]]:
        return [self._stream, self.folder.place_files] * self.streams + [self._scout]

    def _stream(self) -> None:
        """Take one slice after the other, from the node that is the right one at that moment."""
        links: dict[Upstream, Connection] = {}
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while found := self.shelf.next():
            upstream = self.route.current()
            if upstream is None:
                self.shelf.put_back(*found)
                time.sleep(1)
                continue
            link = links.setdefault(upstream, Connection(upstream, self.token))
            self._take(link, *found, buffer)

    def _take(self, link: Connection, file: File, number: int, buffer: memoryview, probing: bool = False) -> int:
        """Bring one slice; the bytes that came. A failure is the other node's, and puts it on hold."""
        try:
            crc, count = self._fetch(link, file, number, buffer, probing)
        except NotYet:
            self.shelf.put_back(file, number)
            return 0
        except Damaged:
            self.shelf.put_back(file, number)
            self._note_damage(link.upstream, file, number)
            return 0
        except (OSError, http.client.HTTPException, Left) as error:
            link.close()
            self.shelf.put_back(file, number)
            if not isinstance(error, Left):
                self.route.leave(link.upstream, str(error) or type(error).__name__)
            return 0
        except BaseException:
            self.shelf.put_back(file, number)
            raise
        self.damaged_by[link.upstream] = 0
        self.shelf.add(file, number, crc)
        return count

    def _note_damage(self, upstream: Upstream, file: File, number: int) -> None:
        log(f"slice {number} of {file.path} arrived damaged from {upstream.name}: once more")
        self.damaged_of[file.number, number] += 1
        self.damaged_by[upstream] += 1
        if self.damaged_of[file.number, number] == MOST_DAMAGED_OF_ONE:
            raise Stop(f"{file.path} arrives damaged again and again, last from {upstream.name}: the network is faulty")
        if self.damaged_by[upstream] >= MOST_DAMAGED:
            self.damaged_by[upstream] = 0
            self.route.leave(upstream, "what it sends arrives damaged")

    def _fetch(self, link: Connection, file: File, number: int, buffer: memoryview, probing: bool) -> tuple[int, int]:
        """The CRC-32 of a slice that is on disk now, and how many bytes of it came."""
        path = f"{file.number}/{number}"
        offset, length = file.span(number)
        if file.inherited:
            response = link.request("HEAD", path)
            response.read()
            crc = int(response.headers[CRC_HEADER], 16)
            same = crc_on_disk(file, number) == crc
            self.progress.count(checked=length)
            if same:
                return crc, 0
        response = link.request("GET", path)
        expected, actual = int(response.headers[CRC_HEADER], 16), 0
        if response.length != length:
            raise OSError(f"it sends {response.length} bytes of {file.path} where {length} are expected")
        descriptor = self.folder.open_partial(file)
        try:
            left = length
            while left:
                count = response.readinto(buffer[: min(left, len(buffer))])
                if not count:
                    raise OSError("the connection ended within a slice")
                actual = zlib.crc32(buffer[:count], actual)
                self.folder.write(file, descriptor, buffer[:count], offset)
                offset, left = offset + count, left - count
                self.progress.count(received=count)
                if not probing and self.route.on_hold(link.upstream):
                    raise Left
        finally:
            os.close(descriptor)
        if actual != expected:
            raise Damaged
        return actual, length

    # whether there is a better way

    def _scout(self) -> None:
        """Keep the nodes before us awake, and see whether the next but one would be faster than the next."""
        links = {one: Connection(one, self.token) for one in self.route.upstreams}
        buffer = memoryview(bytearray(CHUNK_BYTES))
        wait, again = PROBE_AFTER_S, time.monotonic() + PROBE_AFTER_S
        seen, seen_at = self.progress.received, time.monotonic()
        while not self.shelf.stopped:
            time.sleep(SCOUT_S)
            now, received = time.monotonic(), self.progress.received
            rate, seen, seen_at = (received - seen) / (now - seen_at), received, now
            current = self.route.current()
            if current is None:
                continue
            known = links[current].status()
            # who has everything must stay until we have it
            last = self.route.upstreams[-1]
            if last is not current:
                links[last].status()
            if known.get("state") == CHECKING:
                self.progress.count()
                continue
            other = self.route.before(current)
            if other is None:
                continue
            ahead = links[other].status().get("slices", 0) - self.shelf.slices
            verdict = judge(ahead, self.progress.quiet_s)
            if verdict == LEAVE:
                self.route.leave(current, f"it has nothing new, and {other.name} has")
            elif verdict == COMPARE and now >= again:
                slow = self._is_slow(current, rate, links[other], buffer)
                wait = PROBE_AFTER_S if slow else 2 * wait
                again = time.monotonic() + wait

    def _is_slow(self, current: Upstream, rate: float, other: Connection, buffer: memoryview) -> bool:
        """Leave the node that gives ``rate`` bytes per second when another would give much more to each stream."""
        probed, each = self._probe(other, buffer), rate / self.streams
        name = other.upstream.name
        log(f"{name} would give {human.rate(probed)}, {current.name} gives {human.rate(each)} to each stream")
        if probed <= FASTER * each:
            return False
        self.route.leave(current, f"it is slow: {human.rate(rate)}", MOST_HOLD_S)
        return True

    def _probe(self, link: Connection, buffer: memoryview) -> float:
        """Bytes per second of one stream from another node; what comes is kept."""
        started, count = time.monotonic(), 0
        while time.monotonic() - started < PROBE_S:
            found = self.shelf.next(wait=False)
            if found is None:
                break
            came = self._take(link, *found, buffer, probing=True)
            if not came:
                break
            count += came
        return count / (time.monotonic() - started)
