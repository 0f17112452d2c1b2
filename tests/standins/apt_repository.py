# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A signed apt repository of stand-in packages, in the place of a vendor's that tests do not reach.

    with SigningKey() as key:
        debs = [Deb("nvidia-open", "580.95.05-1", depends="nvidia-driver (= 580.95.05-1)")]
        publish(tmp_path / "cuda", debs, key)                            # flat, as NVIDIA's: deb URL /
        publish(tmp_path / "docker", debs, key, suite="trixie", component="stable")
        (tmp_path / "key.asc").write_text(key.public())

The packages are real to apt and dpkg; what is in them is what the test puts there. It needs dpkg-deb and gpg. A folder
is served by ``file://`` on the node, or by ``serve``.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Deb:
    """A package. ``files``: path on the node → text; what lies in a ``bin`` folder is executable. ``scripts``: maintainer
    scripts by name (postinst, prerm ...), shell without the first line. ``fields``: further lines of its control file."""

    name: str
    version: str
    depends: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "all"

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.architecture}.deb"

    def control(self) -> str:
        lines = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "fullrank tests <tests@fullrank.invalid>",
            "Depends": self.depends,
            **self.fields,
            "Description": "a stand-in of the tests",
        }
        return "".join(f"{name}: {value}\n" for name, value in lines.items() if value)

    def build(self, folder: Path) -> Path:
        """Write the .deb into ``folder``."""
        with tempfile.TemporaryDirectory() as work:
            root = Path(work) / "root"
            (root / "DEBIAN").mkdir(parents=True, mode=0o755)
            (root / "DEBIAN/control").write_text(self.control())
            for name, text in self.scripts.items():
                script = root / "DEBIAN" / name
                script.write_text(f"#!/bin/sh\nset -e\n{text}\n")
                script.chmod(0o755)
            for path, text in self.files.items():
                file = root / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
                file.chmod(0o755 if file.parent.name in ("bin", "sbin") else 0o644)
            target = folder / self.file_name
            _run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(target))
        return target


class SigningKey:
    """An OpenPGP key of its own, gone with the ``with`` block: nothing reaches the keyring of who runs the tests."""

    def __init__(self, user: str = "fullrank tests <tests@fullrank.invalid>") -> None:
        # the path is short: the agent's socket lies in it, and its name may have 107 bytes
        self._home = Path(tempfile.mkdtemp(prefix="gpg."))
        self._gpg("--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never")

    def __enter__(self) -> SigningKey:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the agent and forget the key."""
        _run("gpgconf", "--homedir", str(self._home), "--kill", "all")
        shutil.rmtree(self._home, ignore_errors=True)

    def public(self) -> str:
        """The public key, armored."""
        return self._gpg("--armor", "--export").decode()

    def public_binary(self) -> bytes:
        return self._gpg("--export")

    def fingerprint(self) -> str:
        rows = self._gpg("--with-colons", "--list-keys").decode().splitlines()
        return next(row.split(":")[9] for row in rows if row.startswith("fpr:"))

    def clearsign(self, text: str) -> str:
        return self._gpg("--clearsign", text=text).decode()

    def detach_sign(self, text: str) -> str:
        return self._gpg("--armor", "--detach-sign", text=text).decode()

    def _gpg(self, *arguments: str, text: str = "") -> bytes:
        return _run("gpg", "--homedir", str(self._home), "--batch", "--quiet", *arguments, text=text)


def publish(
    folder: Path,
    debs: Sequence[Deb],
    key: SigningKey,
    *,
    suite: str = "",
    component: str = "main",
    architecture: str = "amd64",
) -> Path:
    """Make ``folder`` a repository of exactly these packages, signed with ``key``; returns it.

    Without a suite it is flat (``deb URL /``), with one it has dists and pool (``deb URL SUITE COMPONENT``). Called again it
    replaces what was there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pool = folder / "pool" if suite else folder
    pool.mkdir(parents=True)
    stanzas = []
    for deb in debs:
        file = deb.build(pool)
        content = file.read_bytes()
        stanzas.append(
            f"{deb.control()}Filename: {file.relative_to(folder)}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    release = folder / "dists" / suite if suite else folder
    index = release / component / f"binary-{architecture}" if suite else release
    index.mkdir(parents=True, exist_ok=True)
    packages = "\n".join(stanzas).encode()
    (index / "Packages").write_bytes(packages)
    (index / "Packages.gz").write_bytes(gzip.compress(packages, mtime=0))
    sign(release, key, suite=suite, component=component, architecture=architecture)
    return folder


def sign(
    release: Path, key: SigningKey, *, suite: str = "", component: str = "main", architecture: str = "amd64"
) -> None:
    """Write Release, Release.gpg and InRelease of the indexes below ``release``: also with another key than before."""
    rows = []
    for file in sorted(release.rglob("Packages*")):
        content = file.read_bytes()
        rows.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {file.relative_to(release)}")
    head = {
        "Origin": "fullrank tests",
        "Label": "fullrank tests",
        "Suite": suite,
        "Codename": suite,
        "Components": component if suite else "",
        "Architectures": architecture,
        "Date": formatdate(usegmt=True),
    }
    text = "".join(f"{name}: {value}\n" for name, value in head.items() if value)
    text += "SHA256:\n" + "\n".join(rows) + "\n"
    (release / "Release").write_text(text)
    (release / "Release.gpg").write_text(key.detach_sign(text))
    (release / "InRelease").write_text(key.clearsign(text))


@contextlib.contextmanager
def serve(folder: Path, address: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve a folder by HTTP while the block runs; gives the URL. On the ground, nodes reach this machine at its bridge."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _run(*command: str, text: str = "") -> bytes:
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode()}"
    return done.stdout
