# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node of a chain in which a model's files travel: it takes slices from the node before it and gives them to those after.

A program of its own, run on every node at once for the time of one transfer; ``python3 -m ...weights_peer CONFIG``, where
CONFIG is a JSON file of mode 0600 (see ``Config``). docs/weights-distribute.md tells how the nodes play together.

What travels over HTTP, under a path that begins with the transfer's token, to the addresses of the other nodes only:

    GET  /TOKEN/<file>/<slice>   the bytes and their CRC-32 (``Slice-CRC32``); 503 when they are not here yet
    HEAD /TOKEN/<file>/<slice>   the CRC-32 alone
    GET  /TOKEN/status           {"state": ..., "slices": how many are here}

A slice counts, and is passed on, when its CRC-32 is the one that its first owner computed; a file is put into its place when its
sha256 is the manifest's. Until then it is below ``.fullrank/partial``, where the next transfer finds it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ansible_collections.fullrank.serving.plugins.module_utils import manifest as manifests
from ansible_collections.fullrank.serving.plugins.module_utils import weights

CRC_HEADER = "Slice-CRC32"
CHUNK_BYTES = 1 << 20
CONNECT_S = 5
SILENCE_S = 15  # of a connection, after which it is given up
NOT_YET_S = 2  # that a request waits for a slice which is on its way
REPORT_S = 1
SCOUT_S = 2
# A node that failed is tried again after this time, then after twice as long, and so on.
HOLD_S = 1.0
MOST_HOLD_S = 300.0
# A node that gives nothing for this long is left when another one has what we lack.
QUIET_S = 4.0
# A node that seems slow is compared with the one before it: for this long, when this many slices are waiting there.
PROBE_S = 1.0
PROBE_AFTER_S = 10.0
LAG_SLICES = 8
FASTER = 2.0
MOST_ATTEMPTS = 3
# damaged slices: in a row from one node, before another one is asked; and of one slice, before we give up
MOST_DAMAGED = 3
MOST_DAMAGED_OF_ONE = 6

CHECKING, RECEIVING, COMPLETE, FAILED = "checking", "receiving", "complete", "failed"


class Stop(Exception):
    """This node cannot go on; the text says why."""


class NotYet(Exception):
    """The other node has not got the slice yet."""


class Damaged(Exception):
    """What came is not what was sent."""


class Left(Exception):
    """The node a slice is coming from is no longer the one we want it from."""


@dataclass(frozen=True)
class Upstream:
    """A node that slices can come from."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class Config:
    """What one node is told about the transfer."""

    root: str
    """The model's folder."""
    manifest: dict[str, Any]
    slice_bytes: int
    """The same on all nodes."""
    streams: int
    """Slices taken at a time."""
    address: str
    """Where this node listens; nowhere else."""
    port: int
    token: str
    peers: list[str]
    """Addresses that get an answer."""
    upstreams: list[dict[str, Any]]
    """name, address, port of the nodes to take from, the wanted one first; none for a node that has everything."""
    stall_s: float
    """Seconds without anything new after which this node gives up."""
    linger_s: float
    """Seconds without a question after which a complete node leaves."""
    progress: str
    """The file that tells how far we are."""


class File:
    """One file of the manifest, and which of its slices are here."""

    def __init__(self, number: int, listed: dict[str, Any], root: Path, slice_bytes: int) -> None:
        self.number, self.path, self.size, self.sha256 = number, listed["path"], listed["size"], listed["sha256"]
        self.place = root / self.path
        self.partial = root / manifests.PARTIAL / self.path
        self.slice_bytes = slice_bytes
        self.count = -(-self.size // slice_bytes)
        self.crcs: dict[int, int] = {}
        self.here: set[int] = set()
        self.inherited = False
        """There are bytes from an earlier transfer: a slice is compared before it is fetched."""
        self.placed = False
        self.attempts = 0

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a slice."""
        offset = number * self.slice_bytes
        return offset, min(self.slice_bytes, self.size - offset)

    @contextlib.contextmanager
    def reading(self) -> Iterator[int]:
        """A descriptor of what is here, wherever it lies just now."""
        try:
            descriptor = os.open(self.place if self.placed else self.partial, os.O_RDONLY)
        except FileNotFoundError:  # put into its place at this very moment
            descriptor = os.open(self.place, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def pieces(self, number: int) -> Iterator[bytes]:
        """A slice in chunks, as it is on disk; shorter when the file is."""
        offset, left = self.span(number)
        with self.reading() as descriptor:
            while left and (chunk := os.pread(descriptor, min(left, CHUNK_BYTES), offset)):
                yield chunk
                offset, left = offset + len(chunk), left - len(chunk)

    def crc(self, number: int) -> int:
        """The CRC-32 of what is on disk."""
        value = 0
        for chunk in self.pieces(number):
            value = zlib.crc32(chunk, value)
        return value


@dataclass
class Shelf:
    """The files of this node; who waits for a slice waits here."""

    files: list[File]
    news: threading.Condition = field(default_factory=threading.Condition)
    taken: set[tuple[int, int]] = field(default_factory=set)
    slices: int = 0
    bytes: int = 0
    stopped: bool = False

    @property
    def complete(self) -> bool:
        return all(file.placed for file in self.files)

    def next(self, wait: bool = True) -> tuple[File, int] | None:
        """The first slice that nobody brings yet, in the order of the manifest; None when all files are in their place.

        Without ``wait`` also None when every slice that is missing is on its way.
        """
        with self.news:
            while not (self.complete or self.stopped):
                for file in self.files:
                    if len(file.here) == file.count:
                        continue
                    for number in range(file.count):
                        if number not in file.here and (file.number, number) not in self.taken:
                            self.taken.add((file.number, number))
                            return file, number
                if not wait:
                    break
                self.news.wait(1)
            return None

    def put_back(self, file: File, number: int) -> None:
        with self.news:
            self.taken.discard((file.number, number))
            self.news.notify_all()

    def add(self, file: File, number: int, crc: int | None = None) -> None:
        with self.news:
            self.taken.discard((file.number, number))
            if number not in file.here:
                file.here.add(number)
                self.slices += 1
                self.bytes += file.span(number)[1]
            if crc is not None:
                file.crcs[number] = crc
            self.news.notify_all()

    def add_all(self, file: File) -> None:
        """A file that is whole and in its place."""
        file.placed = True
        for number in range(file.count):
            self.add(file, number)
        with self.news:
            self.news.notify_all()

    def drop(self, file: File) -> None:
        """Forget a file's slices: what they make up is wrong."""
        with self.news:
            self.slices -= len(file.here)
            self.bytes -= sum(file.span(number)[1] for number in file.here)
            file.here.clear()
            file.crcs.clear()
            file.inherited = False
            self.news.notify_all()

    def wait_for(self, file: File, number: int, seconds: float | None = None) -> bool:
        """Whether the slice is here, at the latest after ``seconds``."""
        with self.news:
            return self.news.wait_for(lambda: number in file.here or self.stopped, seconds) and number in file.here

    def stop(self) -> None:
        with self.news:
            self.stopped = True
            self.news.notify_all()


class Route:
    """From whom slices come: the nearest node of the list that is not on hold."""

    def __init__(self, upstreams: list[Upstream]) -> None:
        self.upstreams = upstreams
        self.until = dict.fromkeys(upstreams, 0.0)
        self.hold = dict.fromkeys(upstreams, HOLD_S)
        self.why: dict[Upstream, str] = {}
        self.lock = threading.Lock()

    def current(self) -> Upstream | None:
        return next((one for one in self.upstreams if not self.on_hold(one)), None)

    def on_hold(self, upstream: Upstream) -> bool:
        return self.until[upstream] > time.monotonic()

    def before(self, upstream: Upstream) -> Upstream | None:
        """The one that would be taken instead."""
        later = self.upstreams[self.upstreams.index(upstream) + 1 :]
        return next((one for one in later if not self.on_hold(one)), None)

    def leave(self, upstream: Upstream, why: str, seconds: float = 0) -> None:
        """Put a node on hold: for ``seconds``, or a little longer each time."""
        now = time.monotonic()
        with self.lock:
            self.why[upstream] = why
            if self.until[upstream] > now:
                return  # another stream said so already
            self.until[upstream] = now + (seconds or self.hold[upstream])
            self.hold[upstream] = min(2 * self.hold[upstream], MOST_HOLD_S)
        say(f"leaving {upstream.name}: {why}")

    def reasons(self) -> str:
        return "; ".join(f"{one.name}: {why}" for one, why in self.why.items()) or "they have nothing new"


class Line:
    """One connection to one node, made when needed."""

    def __init__(self, upstream: Upstream, token: str) -> None:
        self.upstream, self.token = upstream, token
        self.connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str) -> http.client.HTTPResponse:
        """The answer to a request; ``NotYet`` for a slice that is not there, OSError for everything else that is not it."""
        response = self._send(method, f"/{self.token}/{path}")
        if response.status == 503:
            response.read()
            raise NotYet
        if response.status != 200:
            response.read()
            raise OSError(f"it answers {response.status}")
        return response

    def _send(self, method: str, path: str) -> http.client.HTTPResponse:
        if self.connection is not None:
            try:
                self.connection.request(method, path)
                return self.connection.getresponse()
            except (ConnectionError, http.client.HTTPException):
                self.close()  # it may have been closed while we had nothing to ask
        self.connection = http.client.HTTPConnection(self.upstream.address, self.upstream.port, timeout=CONNECT_S)
        self.connection.connect()
        self.connection.sock.settimeout(SILENCE_S)
        self.connection.request(method, path)
        return self.connection.getresponse()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Node:
    """This node's part of the transfer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root = Path(config.root)
        listed = config.manifest["files"]
        self.shelf = Shelf([File(i, one, self.root, config.slice_bytes) for i, one in enumerate(listed)])
        self.total = manifests.total_bytes(config.manifest)
        self.route = Route([Upstream(**one) for one in config.upstreams])
        self.state = CHECKING
        self.message = ""
        self.checked = 0
        self.received = 0
        self.began = self.asked = self.moved = time.monotonic()
        self.counting, self.reporting = threading.Lock(), threading.Lock()
        self.damaged_of: Counter[tuple[int, int]] = Counter()
        self.damaged_by: Counter[Upstream] = Counter()
        self.failure = ""
        self.finished_at = 0.0

    # what others ask

    def status(self) -> dict[str, Any]:
        return {"state": self.state, "slices": self.shelf.slices}

    def find(self, path: str) -> tuple[File, int] | None:
        """The slice that ``<file>/<slice>`` names."""
        with contextlib.suppress(ValueError):
            one, _, other = path.partition("/")
            file, number = int(one), int(other)
            if 0 <= file < len(self.shelf.files) and 0 <= number < self.shelf.files[file].count:
                return self.shelf.files[file], number
        return None

    def crc(self, file: File, number: int) -> int:
        """The CRC-32 with which a slice travels: as it came; computed where it came from nobody."""
        value = file.crcs.get(number)
        if value is None:
            value = file.crcs[number] = file.crc(number)
        return value

    # what is here

    def check(self) -> None:
        """Find what is here already. A copy that is ready is believed; of any other, every file is hashed."""
        copy = weights.look(self.root)
        if not self.config.upstreams:
            for file in self.shelf.files:
                self.shelf.add_all(file)
            return
        if copy.ready or copy.digest != manifests.digest(manifests.render(self.config.manifest)):
            weights.unready(self.root)
        with ThreadPoolExecutor(weights.default_threads()) as pool:
            list(pool.map(self._check_file, self.shelf.files))

    def _check_file(self, file: File) -> None:
        if file.place.is_file() and file.place.stat().st_size == file.size:
            if weights.hash_file(file.place, self._count_checked) == file.sha256:
                self.shelf.add_all(file)
                return
            # most of it may be right; but what others may hold as well (a link into a hub's cache) is not ours to change
            if not file.partial.exists() and not file.place.is_symlink() and file.place.stat().st_nlink == 1:
                file.partial.parent.mkdir(parents=True, exist_ok=True)
                file.place.replace(file.partial)
        file.inherited = file.partial.exists()

    def _count_checked(self, count: int) -> None:
        with self.counting:
            self.checked += count
            self.moved = time.monotonic()

    # what comes

    def receive(self) -> None:
        """Bring everything that is missing; raises ``Stop``."""
        if not self.shelf.complete:
            workers = [threading.Thread(target=self._guard, args=(self._stream,)) for _ in range(self.config.streams)]
            queue = iter([file for file in self.shelf.files if not file.placed])
            turn = threading.Lock()
            workers += [
                threading.Thread(target=self._guard, args=(lambda: self._hash_and_place(queue, turn),))
                for _ in range(self.config.streams)
            ]
            workers += [threading.Thread(target=self._guard, args=(self._scout,))]
            for worker in workers:
                worker.daemon = True
                worker.start()
            while not self.shelf.complete and not self.failure:
                with self.shelf.news:
                    self.shelf.news.wait(0.5)
                self._give_up_when_stalled()
            self.shelf.stop()
            if self.failure:
                raise Stop(self.failure)
        shutil.rmtree(self.root / manifests.PARTIAL, ignore_errors=True)
        weights.write_manifest(self.root, self.config.manifest)
        weights.mark_ready(self.root)

    def _guard(self, work: Any) -> None:
        """A thread that fails ends the transfer on this node, with its reason."""
        try:
            work()
        except Stop as stop:
            self.failure = self.failure or str(stop)
        except Exception as error:  # a mistake of ours must not look like a slow network
            self.failure = self.failure or f"{type(error).__name__}: {error}"
            raise
        if self.failure:
            self.shelf.stop()

    def _give_up_when_stalled(self) -> None:
        quiet = time.monotonic() - self.moved
        if quiet > self.config.stall_s and not self.failure:
            missing = self.total - self.shelf.bytes
            names = ", ".join(one.name for one in self.route.upstreams)
            why = self.route.reasons()
            self.failure = f"{missing} bytes are missing, and nothing new came for {quiet:.0f} s from {names}: {why}"

    def _stream(self) -> None:
        """Take one slice after the other, from the node that is the right one at that moment."""
        lines: dict[Upstream, Line] = {}
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while found := self.shelf.next():
            upstream = self.route.current()
            if upstream is None:
                self.shelf.put_back(*found)
                time.sleep(1)
                continue
            line = lines.setdefault(upstream, Line(upstream, self.config.token))
            self._take(line, *found, buffer)

    def _take(self, line: Line, file: File, number: int, buffer: memoryview, probing: bool = False) -> int:
        """Bring one slice; the bytes that came. A failure is the other node's, and puts it on hold."""
        try:
            crc, count = self._fetch(line, file, number, buffer, probing)
        except NotYet:
            self.shelf.put_back(file, number)
            return 0
        except Damaged:
            self.shelf.put_back(file, number)
            self._note_damage(line.upstream, file, number)
            return 0
        except (OSError, http.client.HTTPException, Left) as error:
            line.close()
            self.shelf.put_back(file, number)
            if not isinstance(error, Left):
                self.route.leave(line.upstream, str(error) or type(error).__name__)
            return 0
        except BaseException:
            self.shelf.put_back(file, number)
            raise
        self.damaged_by[line.upstream] = 0
        self.shelf.add(file, number, crc)
        return count

    def _note_damage(self, upstream: Upstream, file: File, number: int) -> None:
        say(f"slice {number} of {file.path} arrived damaged from {upstream.name}: once more")
        self.damaged_of[file.number, number] += 1
        self.damaged_by[upstream] += 1
        if self.damaged_of[file.number, number] == MOST_DAMAGED_OF_ONE:
            raise Stop(f"{file.path} arrives damaged again and again, last from {upstream.name}: the network is faulty")
        if self.damaged_by[upstream] >= MOST_DAMAGED:
            self.damaged_by[upstream] = 0
            self.route.leave(upstream, "what it sends arrives damaged")

    def _fetch(self, line: Line, file: File, number: int, buffer: memoryview, probing: bool) -> tuple[int, int]:
        """The CRC-32 of a slice that is on disk now, and how many bytes of it came."""
        path = f"{file.number}/{number}"
        if file.inherited:
            response = line.ask("HEAD", path)
            response.read()
            crc = int(response.headers[CRC_HEADER], 16)
            if file.crc(number) == crc:
                return crc, 0
        response = line.ask("GET", path)
        expected, actual = int(response.headers[CRC_HEADER], 16), 0
        offset, length = file.span(number)
        if response.length != length:
            raise OSError(f"it sends {response.length} bytes of {file.path} where {length} are expected")
        descriptor = self._open_partial(file)
        try:
            left = length
            while left:
                count = response.readinto(buffer[: min(left, len(buffer))])
                if not count:
                    raise OSError("the connection ended within a slice")
                actual = zlib.crc32(buffer[:count], actual)
                self._write(file, descriptor, buffer[:count], offset)
                offset, left = offset + count, left - count
                with self.counting:
                    self.received += count
                    self.moved = time.monotonic()
                if not probing and self.route.on_hold(line.upstream):
                    raise Left
        finally:
            os.close(descriptor)
        if actual != expected:
            raise Damaged
        return actual, length

    def _open_partial(self, file: File) -> int:
        try:
            file.partial.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file.partial, os.O_RDWR | os.O_CREAT, 0o644)
            if os.fstat(descriptor).st_size != file.size:
                os.ftruncate(descriptor, file.size)
        except OSError as error:
            raise Stop(f"{file.partial}: {error.strerror}") from error
        return descriptor

    def _write(self, file: File, descriptor: int, view: memoryview, offset: int) -> None:
        try:
            while view:
                count = os.pwrite(descriptor, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise Stop(
                f"{file.partial}: {error.strerror}; {self.total - self.shelf.bytes} bytes are missing"
            ) from error

    def _hash_and_place(self, queue: Iterator[File], turn: threading.Lock) -> None:
        """Follow the slices of one file after the other, and put it into its place when it is what the manifest says."""
        while not self.failure:
            with turn:
                file = next(queue, None)
            if file is None:
                return
            while not (file.placed or self.shelf.stopped):
                self._hash_once(file)

    def _hash_once(self, file: File) -> None:
        total = hashlib.sha256()
        for number in range(file.count):
            if not self.shelf.wait_for(file, number):
                return
            for chunk in file.pieces(number):
                total.update(chunk)
        if total.hexdigest() != file.sha256:
            file.attempts += 1
            if file.attempts == MOST_ATTEMPTS:
                raise Stop(
                    f"{file.path} came {MOST_ATTEMPTS} times with a wrong sha256 although every slice arrived as it was sent: "
                    f"the copy it comes from is damaged, verify that of {self.route.upstreams[-1].name}"
                )
            say(f"{file.path} has a wrong sha256: once more")
            self.shelf.drop(file)
            return
        try:
            if not file.count:
                os.close(self._open_partial(file))
            weights.replace(file.partial, file.place)
        except OSError as error:
            raise Stop(f"{file.place}: {error.strerror}") from error
        self.shelf.add_all(file)

    # whether there is a better way

    def _scout(self) -> None:
        """Keep the nodes before us awake, and see whether the next but one would be faster than the next."""
        lines = {one: Line(one, self.config.token) for one in self.route.upstreams}
        buffer = memoryview(bytearray(CHUNK_BYTES))
        wait, again = PROBE_AFTER_S, time.monotonic() + PROBE_AFTER_S
        seen, seen_at = self.received, time.monotonic()
        while not self.shelf.stopped:
            time.sleep(SCOUT_S)
            now = time.monotonic()
            rate, seen, seen_at = (self.received - seen) / (now - seen_at) / self.config.streams, self.received, now
            current = self.route.current()
            if current is None:
                continue
            known = self._look(lines[current])
            # who has everything must stay until we have it
            last = self.route.upstreams[-1]
            if last is not current:
                self._look(lines[last])
            if known.get("state") == CHECKING:
                self.moved = now
                continue
            other = self.route.before(current)
            if other is None:
                continue
            ahead = self._look(lines[other]).get("slices", 0) - self.shelf.slices
            if ahead > 0 and now - self.moved > QUIET_S:
                self.route.leave(current, f"it has nothing new, and {other.name} has")
                continue
            if ahead <= LAG_SLICES or now < again:
                continue
            probed = self._probe(lines[other], buffer)
            say(
                f"{other.name} would give {probed / 1e6:.1f} MB/s, {current.name} gives {rate / 1e6:.1f} MB/s to each stream"
            )
            if probed > FASTER * rate:
                self.route.leave(current, f"it is slow: {rate * self.config.streams / 1e6:.1f} MB/s", MOST_HOLD_S)
                wait = PROBE_AFTER_S
            else:
                wait *= 2
            again = time.monotonic() + wait

    def _look(self, line: Line) -> dict[str, Any]:
        """What a node says of itself; nothing when it cannot be asked."""
        try:
            return dict(json.loads(line.ask("GET", "status").read()))
        except (OSError, http.client.HTTPException, NotYet, ValueError):
            line.close()
            return {}

    def _probe(self, line: Line, buffer: memoryview) -> float:
        """Bytes per second of one stream from another node; what comes is kept."""
        started, count = time.monotonic(), 0
        while time.monotonic() - started < PROBE_S:
            found = self.shelf.next(wait=False)
            if found is None:
                break
            came = self._take(line, *found, buffer, probing=True)
            if not came:
                break
            count += came
        return count / (time.monotonic() - started)

    # how far we are

    def report(self) -> None:
        """Write the progress file once, in one step."""
        current = self.route.current()
        now = time.time()
        text = json.dumps(
            {
                "state": self.state,
                "message": self.message,
                "bytes": self.shelf.bytes,
                "total": self.total,
                "checked": self.checked,
                "received": self.received,
                "source": current.name if current and self.state == RECEIVING else "",
                "seconds": round(time.monotonic() - self.began, 2),
                "at": now,
                "finished_at": self.finished_at,
                "cpu_s": round(time.process_time(), 2),
            }
        )
        target = Path(self.config.progress)
        work = target.with_name(f"{target.name}.new")
        with self.reporting:
            work.write_text(text)
            work.replace(target)

    def run(self) -> int:
        """Take part until nobody needs this node any more; the exit status."""
        with serving(self):
            threading.Thread(target=self._report_on, daemon=True).start()
            try:
                self.check()
                self.state = RECEIVING
                self.moved = time.monotonic()
                if self.config.upstreams:
                    self.receive()
            except (Stop, OSError) as error:
                self.state, self.message = FAILED, str(error)
                say(self.message)
                self.report()
                return 1
            self.state, self.finished_at = COMPLETE, time.time()
            self.report()
            self.asked = time.monotonic()
            while time.monotonic() - self.asked < self.config.linger_s:
                time.sleep(min(1.0, self.config.linger_s))
            return 0

    def _report_on(self) -> None:
        while True:
            self.report()
            time.sleep(REPORT_S)


class Handler(BaseHTTPRequestHandler):
    """Answers the other nodes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 600
    server: Server

    def log_message(self, *_: Any) -> None:
        """The token is in every path: nothing is logged."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        node = self.server.node
        token, _, what = unquote(self.path).lstrip("/").partition("/")
        if not hmac.compare_digest(token.encode(), node.config.token.encode()):
            self._say(404, b"")
            return
        node.asked = time.monotonic()
        if what == "status":
            self._say(200, json.dumps(node.status()).encode())
            return
        found = node.find(what)
        if found is None:
            self._say(404, b"")
            return
        if not node.shelf.wait_for(*found, NOT_YET_S):
            self._say(503, b"")
            return
        try:
            self._send_slice(*found, with_body)
        except OSError:
            self.close_connection = True  # the other one left, or our disk failed: it finds out by the missing bytes

    def _say(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_slice(self, file: File, number: int, with_body: bool) -> None:
        offset, length = file.span(number)
        crc = self.server.node.crc(file, number)
        self.send_response_only(200)
        self.send_header("Content-Length", str(length))
        self.send_header(CRC_HEADER, f"{crc:08x}")
        self.end_headers()
        if with_body:
            with file.reading() as descriptor, os.fdopen(os.dup(descriptor), "rb", buffering=0) as source:
                if self.connection.sendfile(source, offset, length) != length:
                    self.close_connection = True


class Server(ThreadingHTTPServer):
    """Listens on one address, for the nodes of the transfer only."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, node: Node) -> None:
        self.node = node
        self.address_family = socket.AF_INET6 if ":" in node.config.address else socket.AF_INET
        super().__init__((node.config.address, node.config.port), Handler)

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        return str(client_address[0]) in self.node.config.peers

    def handle_error(self, *_: Any) -> None:
        """A connection that ends early is no news."""


@contextlib.contextmanager
def serving(node: Node) -> Iterator[None]:
    """Answer the other nodes meanwhile."""
    server = Server(node)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def say(text: str) -> None:
    """Into the journal."""
    print(text, flush=True)


def main(path: str) -> int:
    """Run with the configuration in a file."""
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    given["manifest"] = manifests.parse(manifests.render(given["manifest"]))
    return Node(Config(**given)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
