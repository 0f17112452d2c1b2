# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for a container that the checks accept, given to docker's own client: what it asks its daemon for gives no node away.

The daemon is a stand-in that records the request, so nothing is started.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import confinement

pytestmark = pytest.mark.skipif(not shutil.which("docker"), reason="docker's client")
ROUNDS = 60
PIECES = (
    "--label --env -e -l --device --security-opt --mount --volume -v --cap-add --cap-add=ALL -v/:/host -v=/etc:/x "
    "--privileged --pid=host --device=dev/sda:/dev/sda type=bind,SRC=/,DST=/host "
    "type=bind,src=/etc/passwd,dst=/p,readonly=true,RO=false /etc/passwd:/p,ro "
    "type=volume,volume-opt=device=/,volume-opt=o=bind,volume-opt=type=none,src=v,dst=/h /data:/data /usr:/x:ro "
    "a=b label=type:spc_t --use-api-socket --cpus 8 -it -tv -de image --userns=host "
    '--mount=type=bind,src=/data,dst=/d seccomp=unconfined --memory=1g -- "type=bind",src=/,dst=/h '
    "type=tmpfs,dst=/t SYS_PTRACE --init --env-file /etc/passwd --cgroup-parent / --runtime=x "
).split()


class Daemon(http.server.BaseHTTPRequestHandler):
    """Answers as docker does, and keeps what a container is to be made of."""

    protocol_version = "HTTP/1.1"
    requested: list[dict[str, Any]]

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        for name, value in (("Api-Version", "1.49"), ("Ostype", "linux"), ("Content-Type", "application/json")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.answer(200, b"{}")

    do_GET = do_HEAD

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/create" in self.path:
            self.requested.append(json.loads(body))
        self.answer(500, b'{"message": "recorded"}')

    def log_message(self, *_unused: Any) -> None:
        """Not into the test's output."""

    def address_string(self) -> str:
        return ""


class Docker:
    """Docker's client, and what it requested for."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.folder = folder / "d.sock", folder
        self.requested: list[dict[str, Any]] = []
        handler = type("Handler", (Daemon,), {"requested": self.requested})
        self.server = socketserver.ThreadingUnixStreamServer(str(self.socket), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def run(self, words: list[str]) -> dict[str, Any] | None:
        """The request that these words make; None where the client refuses them."""
        self.requested.clear()
        environment = {"DOCKER_HOST": f"unix://{self.socket}", "HOME": str(self.folder), "PATH": os.environ["PATH"]}
        command = ["docker", "run", "--rm", *words, "ours:1", "our-command"]
        subprocess.run(
            command, env=environment, check=False, capture_output=True, stdin=subprocess.DEVNULL, cwd=self.folder
        )
        return self.requested[0] if self.requested else None


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    found = Docker(tmp_path_factory.mktemp("d"))
    yield found
    found.server.shutdown()
    found.server.server_close()


def given_away(requested: dict[str, Any]) -> list[str]:
    """What of a request reaches beyond the container."""
    host = requested["HostConfig"]
    binds = [(one.split(":")[0], one.split(":")[2:] == ["ro"]) for one in host["Binds"] or []]
    mounts = [(one.get("Source", ""), bool(one.get("ReadOnly"))) for one in host.get("Mounts") or []]
    found = [
        source for source, read_only in (*binds, *mounts) if source and confinement.exposed(source, read_only=read_only)
    ]
    found += [
        str(one["VolumeOptions"])
        for one in host.get("Mounts") or []
        if (one.get("VolumeOptions") or {}).get("DriverConfig")
    ]
    found += [
        one for one in host["CapAdd"] or [] if one.upper().removeprefix("CAP_") not in confinement.HARMLESS_CAPABILITIES
    ]
    found += [one["PathOnHost"] for one in host["Devices"] or [] if not one["PathOnHost"].startswith("/dev/nvidia")]
    found += ["privileged"] if host["Privileged"] else []
    found += [f"{name}={host[name]}" for name in ("PidMode", "UsernsMode", "CgroupParent", "UTSMode") if host.get(name)]
    found += [one for one in host["SecurityOpt"] or [] if one != "no-new-privileges"]
    found += [f"runtime {host.get('Runtime')}"] if host.get("Runtime") not in (None, "", "runc") else []
    return found + (
        []
        if (requested["Image"], requested["Cmd"]) == ("ours:1", ["our-command"])
        else [f"{requested['Image']} {requested['Cmd']}"]
    )


def test_the_stand_in_sees_what_is_given_away(docker: Docker) -> None:
    requested = docker.run(["--label", "--security-opt", "--cap-add=ALL", "-v/:/host"])
    assert requested and given_away(requested) == ["/", "ALL"]


def test_no_words_that_are_accepted_give_the_node_away(docker: Docker) -> None:
    """Random lists of words that mean something to docker; a fixed seed, so that a failure comes again."""
    source, accepted, seen = random.Random(16), 0, 0
    while accepted < ROUNDS:
        words = [source.choice(PIECES) for _number in range(source.randint(1, 4))]
        if confinement.beyond(words):
            continue
        accepted += 1
        if requested := docker.run(words):
            seen += 1
            assert given_away(requested) == [], words
    assert seen > ROUNDS / 3
