# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of a git server with LFS on loopback: git's own http-backend, and the batch API in front of a storage of its own.

It serves whatever a test puts into the repository, hostile pointers too, and keeps the headers of every request that it gets.
https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md describes the API.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BACKEND = "/usr/lib/git-core/git-http-backend"
LIMIT_S = 30
BATCH = "application/vnd.git-lfs+json"


class Recorder(ThreadingHTTPServer):
    """Keeps method, path and headers (names in lower case) of each request, in ``seen``."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), handler)
        self.seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()

    def handle_error(self, *_unused: Any) -> None:
        """A client that goes away is no news."""

    def values(self, header: str = "authorization") -> list[str]:
        """What came in a header of any request."""
        return [one[header] for one in self.seen if header in one]

    def received(self, secret: str) -> list[str]:
        """The requests in which a secret came, wherever it stood."""
        return [one["path"] for one in self.seen if any(secret in value for value in one.values())]


class Handler(BaseHTTPRequestHandler):
    """Answers from memory: ``self.answer``."""

    server: Recorder
    protocol_version = "HTTP/1.1"

    def log_message(self, *_unused: Any) -> None:
        """Quiet."""

    def note(self) -> bytes:
        """Keep the request; its body."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append({"method": self.command, "path": self.path, **headers})
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: bytes, kind: str = "application/octet-stream", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Storage(Recorder):
    """Where objects lie: a host that the git server names, and that is not the git server."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__(StorageHandler, address)
        self.objects: dict[str, bytes] = {}
        self.endless = 0
        """MiB that are sent instead of each object, whatever its size."""

    def put(self, content: bytes) -> str:
        oid = hashlib.sha256(content).hexdigest()
        self.objects[f"/{oid}"] = content
        return oid


class StorageHandler(Handler):
    server: Storage

    def do_GET(self) -> None:
        self.note()
        content = self.server.objects.get(self.path)
        if content is not None and self.server.endless:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            for _ in range(self.server.endless):
                self.wfile.write(bytes(1 << 20))
            return
        self.answer(404 if content is None else 200, content or b"")

    def do_POST(self) -> None:
        """A batch that was sent on to here."""
        self.answer(200, batch(json.loads(self.note()), self.server.url), BATCH)


class Forge(Recorder):
    """Serves the bare repository ``folder``/m.git. ``redirect_to`` sends git to another server, ``redirect_batch_to`` git-lfs."""

    def __init__(self, folder: Path, storage: Storage, address: str = "127.0.0.1") -> None:
        super().__init__(ForgeHandler, address)
        self.folder, self.storage = folder, storage
        self.redirect_to = self.redirect_batch_to = ""

    @property
    def repository(self) -> str:
        return f"{self.url}/m.git"

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Make these files, from path to content, the only commit of the repository, whatever git would say of their paths."""
        bare = self.folder / "m.git"
        self._git("init", "--quiet", "--bare", str(bare))
        tree = self._tree(
            bare, {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        )
        user = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        commit = self._git(*user, "commit-tree", "-m", "weights", tree, folder=bare)
        self._git("update-ref", "HEAD", commit, folder=bare)
        return commit

    def _tree(self, bare: Path, files: Mapping[str, bytes]) -> str:
        lines, below = [], dict[str, dict[str, bytes]]()
        for path, content in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = content
            else:
                blob = self._git("hash-object", "-w", "--stdin", folder=bare, content=content)
                lines.append((name, b"100644", blob))
        lines += [(name, b"40000", self._tree(bare, inside)) for name, inside in below.items()]
        raw = b"".join(mode + b" " + name.encode() + b"\0" + bytes.fromhex(one) for name, mode, one in sorted(lines))
        return self._git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", folder=bare, content=raw)

    @staticmethod
    def _git(*words: str, folder: Path | None = None, content: bytes = b"") -> str:
        command = ["git", *(("-C", str(folder)) if folder else ()), *words]
        done = subprocess.run(command, check=True, capture_output=True, input=content, timeout=LIMIT_S)
        return done.stdout.decode().strip()


class ForgeHandler(Handler):
    server: Forge

    def do_GET(self) -> None:
        body = self.note()
        is_batch = self.path.endswith("/objects/batch")
        if elsewhere := self.server.redirect_batch_to if is_batch else self.server.redirect_to:
            self.answer(307, b"", Location=f"{elsewhere}{self.path}")
        elif is_batch:
            self.answer(200, batch(json.loads(body), self.server.storage.url), BATCH)
        else:
            self._backend(body)

    do_POST = do_GET

    def _backend(self, body: bytes) -> None:
        path, _unused, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            # other users than the repository's owner may run the tests
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
        }
        done = subprocess.run([BACKEND], env=env, input=body, capture_output=True, check=False, timeout=LIMIT_S)
        head, _unused, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line)
        status = int(headers.get("Status", "200").split()[0])
        self.answer(status, content, headers.get("Content-Type", "text/plain"))


def batch(wanted: dict[str, Any], storage: str) -> bytes:
    """The answer to a batch request: each object is downloaded from ``storage``, with a header that this server chose."""
    objects = []
    for one in wanted["objects"]:
        download = {"href": f"{storage}/{one['oid']}", "header": {"X-Signed": "by-the-forge"}}
        objects.append({**one, "authenticated": True, "actions": {"download": download}})
    return json.dumps({"transfer": "basic", "objects": objects}).encode()


def pointer(oid: str, size: int) -> str:
    """The file that stands for an object in the repository; https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
