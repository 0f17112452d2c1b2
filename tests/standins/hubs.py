# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loopback stand-ins of the Hugging Face Hub and of ModelScope: what their download clients ask, and faults on demand.

One server answers for both. It shows what the *clients* do; what only the real hubs do (xet, gated repositories) is not in
it. Alone, for nodes of the test ground: ``hubs.py ADDRESS PORT FOLDER`` serves the files of FOLDER, and a Python index of
FOLDER/../wheels below /simple/; ``GET /_log`` lists the requests, ``POST /_faults`` sets ``Faults``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import html
import json
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "1" * 40
BRANCHES = ("main", "master")
TOKEN = "stand-in-token"
LFS_FROM_BYTES = 10_000
PIECE = 1 << 16
HANG_S = 120


@dataclasses.dataclass
class Faults:
    """What goes wrong with the content of large files; numbers count down to none."""

    drops: int = 0
    """Answers that are cut off after ``drop_after`` bytes."""
    drop_after: int = 1 << 20
    hangs: int = 0
    """Answers in which nothing comes any more after ``drop_after`` bytes, though the connection stays."""
    errors: int = 0
    """Answers that are a 503 instead."""
    flips: int = 0
    """Answers of the right size with one bit wrong."""
    delay_s: float = 0.0
    """Waiting after each 64 KiB."""
    private: bool = False
    """Only with TOKEN."""
    storage: str = ""
    """Address of another server, to which large files are redirected: there they are called by their sha256."""


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, files: dict[str, bytes], address: str = "127.0.0.1", port: int = 0, wheels: Path | None = None
    ) -> None:
        super().__init__((address, port), Handler)
        self.files = files
        self.wheels = wheels
        self.faults = Faults()
        self.lock = threading.Lock()
        self.log: list[dict[str, Any]] = []
        self.seen: list[dict[str, str]] = []
        """Path and headers (names in lower case) of each request."""
        self.sent = 0
        """Bytes of content of large files that went out."""

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what the tests are about."""

    def take(self, name: str) -> bool:
        with self.lock:
            left = getattr(self.faults, name)
            setattr(self.faults, name, max(left - 1, 0))
            return bool(left)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/_faults":
            self.server.faults = Faults(**json.loads(body))
            return self.answer({})
        if self.path.endswith("/api/v1/login"):
            if json.loads(body).get("AccessToken") != TOKEN:
                return self.answer({"Code": 403, "Success": False, "Message": "no such token"}, 403)
            data = {"AccessToken": "session", "Username": "someone", "Email": "someone@example.org"}
            return self.answer(self.modelscope(data), cookies=["m_session_id=stand-in-session; Path=/"])
        return self.answer(self.modelscope({}))

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        if path == "/_log":
            return self.answer({"log": self.server.log, "sent": self.server.sent})
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append({"path": self.path, **headers})
        self.server.log.append({"method": self.command, "path": self.path, "range": self.headers.get("Range") or ""})
        if path.startswith("/simple/"):
            return self.index(path)
        if self.server.faults.private and not self.authorized():
            return self.answer({"error": "Invalid credentials", "Code": 401, "Message": "login first"}, 401)
        if path.startswith("/api/v1/"):
            return self.answer_modelscope(path, query)
        if path.startswith("/api/models/"):
            return self.answer_huggingface(path)
        if "/resolve/" in path:
            return self.content(path.split("/resolve/")[1].split("/", 1)[1])
        return self.answer({"error": "nothing here"}, 404)

    def authorized(self) -> bool:
        return TOKEN in (self.headers.get("Authorization") or "") or "stand-in-session" in (
            self.headers.get("Cookie") or ""
        )

    # --- ModelScope ---------------------------------------------------------------------------------------------------

    @staticmethod
    def modelscope(data: Any) -> dict[str, Any]:
        return {"Code": 200, "Success": True, "Message": "success", "Data": data}

    def answer_modelscope(self, path: str, query: dict[str, list[str]]) -> None:
        if path.endswith("/repo/files"):
            if query.get("Revision", ["master"])[0] not in (*BRANCHES, COMMIT):
                return self.answer({"Code": 404, "Success": False, "Message": "no such revision"}, 404)
            files = [
                {
                    "Path": name,
                    "Name": Path(name).name,
                    "Size": len(content),
                    "Type": "blob",
                    "Sha256": sha256(content),
                    "Revision": COMMIT,
                    "CommittedDate": 0,
                }
                for name, content in self.server.files.items()
            ]
            return self.answer(self.modelscope({"Files": files, "TotalCount": len(files), "LatestCommitter": {}}))
        if path.endswith("/commits"):
            return self.answer(self.modelscope({"Commits": [{"Id": COMMIT}], "TotalCount": 1}))
        if path.endswith("/revisions"):
            branches = [{"Revision": "master", "CreatedAt": 1}]
            return self.answer(self.modelscope({"RevisionMap": {"Branches": branches, "Tags": []}}))
        if path.endswith("/repo") and "FilePath" in query:
            return self.content(query["FilePath"][0])
        return self.answer(self.modelscope({"Id": 1, "Name": "m", "Path": "o", "Visibility": 5}))

    # --- Hugging Face -------------------------------------------------------------------------------------------------

    def answer_huggingface(self, path: str) -> None:
        revision = path.partition("/revision/")[2] or "main"
        if revision not in (*BRANCHES, COMMIT):
            return self.answer({"error": "no such revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for name, content in self.server.files.items():
            one: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
            if len(content) >= LFS_FROM_BYTES:
                one["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
            siblings.append(one)
        about = {"_id": "x", "id": "o/m", "private": False, "gated": False, "disabled": False, "tags": []}
        return self.answer(about | {"sha": COMMIT, "siblings": siblings})

    # --- both ---------------------------------------------------------------------------------------------------------

    def content(self, name: str) -> None:
        content = self.server.files.get(name)
        if content is None:
            return self.answer({"error": "no such file"}, 404, {"X-Error-Code": "EntryNotFound"})
        large = len(content) >= LFS_FROM_BYTES
        if large and self.server.faults.storage:
            return self.answer({}, 302, {"Location": f"{self.server.faults.storage}/{sha256(content)}"})
        if large and self.command == "GET":
            if self.server.take("errors"):
                return self.answer({"error": "try later"}, 503)
            if self.server.take("flips"):
                content = content[:-1] + bytes([content[-1] ^ 1])
        first, last = self.wanted_range(len(content))
        if first >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        part = content[first : last + 1]
        self.send_response(206 if self.headers.get("Range") else 200)
        if self.headers.get("Range"):
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", f'"{sha256(content) if large else blob_id(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.send(part, large)
        return None

    def wanted_range(self, size: int) -> tuple[int, int]:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        return (int(match[1]), int(match[2] or size - 1)) if match else (0, size - 1)

    def send(self, part: bytes, large: bool) -> None:
        stop, hangs = len(part), False
        if large and len(part) > self.server.faults.drop_after:
            hangs = self.server.take("hangs")
            if hangs or self.server.take("drops"):
                stop = self.server.faults.drop_after
        for start in range(0, stop, PIECE):
            piece = part[start : min(start + PIECE, stop)]
            self.wfile.write(piece)
            if large:
                with self.server.lock:
                    self.server.sent += len(piece)
                time.sleep(self.server.faults.delay_s)
        if hangs:
            self.connection.settimeout(HANG_S)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the client gives up
        if stop < len(part):
            self.close_connection = True
            self.connection.shutdown(2)

    def index(self, path: str) -> None:
        """A "simple" Python index (PEP 503) of a folder of wheels."""
        assert self.server.wheels is not None
        project, _, file = path.removeprefix("/simple/").partition("/")
        if file:
            return self.raw((self.server.wheels / file).read_bytes(), "application/octet-stream")
        names = [one.name for one in sorted(self.server.wheels.glob("*.whl"))]
        of_project = [one for one in names if re.sub(r"[-_.]+", "-", one.partition("-")[0]).lower() == project]
        links = "".join(f'<a href="{html.escape(one)}">{html.escape(one)}</a>\n' for one in of_project)
        return self.raw(f"<!DOCTYPE html><html><body>\n{links}</body></html>".encode(), "text/html")

    def answer(
        self, reply: Any, status: int = 200, headers: dict[str, str] | None = None, cookies: list[str] | None = None
    ) -> None:
        content = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        for cookie in cookies or []:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def raw(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def main() -> None:
    address, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    files = {one.relative_to(folder).as_posix(): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}
    Hub(files, address, port, folder.parent / "wheels").serve_forever()


if __name__ == "__main__":
    main()
