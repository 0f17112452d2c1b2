# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ended a supervisor, or a group, without a right to: connections, recordings, full disks, slow commands."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import replicas
from supervisors import Group, soon

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces and recordings of datagrams need root")
Make = Callable[[int], Group]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Group] = []

    def group(ranks: int) -> Group:
        made.append(Group(tmp_path, ranks))
        return made[-1]

    yield group
    for one in made:
        one.end()


def test_three_thousand_slow_connections_leave_the_engine_and_honest_clients_alone(make: Make) -> None:
    group = make(1)
    head = group.head
    head.start(descriptors=100)
    group.up()
    pid, engine = head.pid, head.engine_pid
    command = [sys.executable, str(Path(__file__).with_name("slow_connections.py"))]
    attack = subprocess.Popen(
        [*command, head.address, str(head.config["port"]), "3000", "15"],
        stdout=subprocess.PIPE,
    )
    misses = most = questions = 0
    while attack.poll() is None:
        answer = head.state()
        questions += 1
        misses = 0 if answer else misses + 1
        assert misses < replicas.CHECK_FALL  # then its router would give it up
        assert not answer or (answer["code"], answer["epoch"]) == (200, 1)
        most = max(most, len(list(Path(f"/proc/{pid}/fd").iterdir())))
        time.sleep(0.1)
    opened = int(attack.communicate()[0])
    assert opened > 3000 and questions > 20 and most < 100, (opened, questions, most)
    assert (head.pid, head.engine_pid) == (pid, engine)
    assert "Traceback" not in head.journal and "Errno" not in head.journal
    assert head.ask()["code"] == 200


def test_no_descriptor_is_left_and_the_supervisor_goes_on(make: Make) -> None:
    """From the first moment on it has none to spare: for the look at its engine, the status file, or a connection."""
    group = make(1)
    head = group.head
    head.start()
    group.up()
    pid, engine = head.pid, head.engine_pid
    used = min(len(list(Path(f"/proc/{pid}/fd").iterdir())) for _ in range(100))  # less those of a moment
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={used}:"], check=True)
    soon(lambda: not head.state())
    time.sleep(6)
    assert (head.pid, head.engine_pid) == (pid, engine)
    subprocess.run(["prlimit", f"--pid={pid}", "--nofile=1024:"], check=True)
    group.up()
    assert (head.ask()["epoch"], head.engine_pid) == (1, engine)
    assert "Traceback" not in head.journal


class Recorder:
    """Hears every datagram of a group, as somebody on its network may."""

    def __init__(self, group: Group) -> None:
        self.port = group.head.config["port"]
        self.datagrams: list[tuple[str, str, bytes]] = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.bind(("lo", 0x0800))
        self.socket.setblocking(False)
        self.senders: dict[str, socket.socket] = {}

    def listen(self) -> None:
        """Keep what came since the last time."""
        while True:
            try:
                packet = self.socket.recv(65536)
            except BlockingIOError:
                return
            start = (packet[0] & 15) * 4
            source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            if packet[9] == socket.IPPROTO_UDP and int.from_bytes(packet[start + 2 : start + 4], "big") == self.port:
                self.datagrams.append((source, target, packet[start + 8 :]))

    def repeat(self, source: str, target: str, data: bytes) -> None:
        if source not in self.senders:
            self.senders[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.senders[source].bind((source, 0))
        self.senders[source].sendto(data, (target, self.port))

    def close(self) -> None:
        for one in [self.socket, *self.senders.values()]:
            one.close()


def test_recorded_datagrams_do_not_end_a_group(make: Make) -> None:
    group = make(2)
    recorder = Recorder(group)
    dice = random.Random(1)
    for one in group.ranks:
        one.start()
    group.up()
    engines = [one.engine_pid for one in group.ranks]

    def attack(first: tuple[str, str, bytes], seconds: float) -> None:
        """A single recording ten times a second, as it did end a group, and a hundred of any age besides."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            recorder.listen()
            for source, target, data in [first, *dice.choices(recorder.datagrams, k=10)]:
                recorder.repeat(source, target, data)
                recorder.repeat("127.0.0.1", target, data)  # and by somebody who has no rank's address
            time.sleep(0.1)

    soon(lambda: (recorder.listen(), len(recorder.datagrams) > 20)[1])
    old = recorder.datagrams[:12]
    for first in (old[0], old[10], old[11]):
        attack(first, 8)
        assert group.head.ask()["epoch"] == 1
    for one in group.ranks:  # a conversation begins while recordings of the one before arrive
        one.crash()
        attack(old[0], 12)
    recorder.close()
    soon(lambda: group.head.state().get("code") == 200, 10)
    assert group.head.ask()["epoch"] == 1 and not group.head.ask()["failures"]
    assert [one.engine_pid for one in group.ranks] == engines


@pytest.mark.parametrize("rank", [0, 1])
def test_a_start_that_takes_long_is_not_silence(make: Make, rank: int) -> None:
    group = make(2)
    group.ranks[rank].delay("start", 9)
    for one in group.ranks:
        one.start()
    group.up()
    assert (group.head.ask()["epoch"], group.head.ask()["failures"]) == (1, 0)
    for verb in ("show", "reset-failed"):  # systemd is busy on the other node
        group.ranks[1 - rank].delay(verb, 8)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert (group.head.ask()["code"], group.head.ask()["epoch"]) == (200, 1)
        time.sleep(0.5)


def test_full_disks_end_nothing_and_what_could_not_be_written_follows(make: Make) -> None:
    group = make(2)
    for one in group.ranks:
        (one.folder / "full").touch()
        one.start(output="/dev/full")
    group.up()
    troubles = "; ".join(soon(lambda: len(group.head.state()["troubles"]) == 3 and group.head.state()["troubles"]))
    for path in ("/run/fullrank/tiny.epoch", "/run/fullrank/tiny.json", "/var/lib/fullrank/tiny.ready"):
        assert path in troubles
    assert "No space left on device" in troubles
    assert soon(lambda: group.ranks[1].state()["troubles"])
    pids = [one.pid for one in group.ranks]
    time.sleep(5)
    assert group.head.ask()["code"] == 200 and [one.pid for one in group.ranks] == pids
    for one in group.ranks:
        for there in ("/run", "/var/lib"):
            one.root(f"{there}/ballast").unlink()
    soon(lambda: not group.head.state()["troubles"])
    assert group.head.root("/var/lib/fullrank/tiny.ready").read_text() == "launch\n"
    assert group.head.root("/run/fullrank/tiny.epoch").read_text().startswith("1 ")
    assert group.head.root("/run/fullrank/tiny.json").exists()
    assert (group.head.ask()["epoch"], group.head.ask()["failures"]) == (1, 0)


def test_a_disk_that_becomes_full_or_read_only_later_ends_nothing(make: Make) -> None:
    group = make(1)
    head = group.head
    head.start()
    group.up()
    soon(lambda: head.root("/var/lib/fullrank/tiny.ready").exists())
    with head.root("/run/ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError):
        while True:
            ballast.write(b"x" * 4096)
    soon(lambda: head.state()["troubles"])
    at = [soon(lambda: head.state()["at"])]
    time.sleep(3)
    # there is no room for a new file, and the old one goes on telling how it is
    written = head.root("/run/fullrank/tiny.json").read_text()
    assert '"ready": true' in written and "No space left on device" in written and str(at[0]) not in written
    head.root("/run/ballast").unlink()
    soon(lambda: not head.state()["troubles"])
    nsenter = ["nsenter", f"--mount=/proc/{head.pid}/ns/mnt", "mount", "-o"]
    subprocess.run([*nsenter, "remount,ro", "/run"], check=True)
    assert "Read-only file system" in soon(lambda: head.state()["troubles"])[0]
    head.kill_engine()  # also what an epoch's end and begin write
    soon(lambda: head.state().get("epoch") == 2 and head.state()["code"] == 200)
    subprocess.run([*nsenter, "remount,rw", "/run"], check=True)
    soon(lambda: not head.state()["troubles"])
    assert head.root("/run/fullrank/tiny.epoch").read_text().startswith("2 ")
