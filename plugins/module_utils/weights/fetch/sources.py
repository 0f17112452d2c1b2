# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where weights come from: what each source lists, and how a file is brought from it into a folder.

Runs in the environment of the hub's own client. Private to this collection.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, BinaryIO

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import ARRIVED, Entry, is_commit

Finished = Callable[[Entry, Path], None]
"""Called with each file that is there in its full size, as soon as it is; from several threads."""
COPY_BYTES = 8 << 20
CHUNK_BYTES = 1 << 20
"""What huggingface_hub holds of a file before it writes, and what is lost of it in an interruption; 10 MiB of itself."""
_POINTER = "version https://git-lfs.github.com/spec/v1\n"
_DIGITS = re.compile(r"[0-9]{1,18}")
_SENT_ON = re.compile(r"The requested URL returned error: 30[1-8]")


class Refused(Exception):
    """Trying again would not help; the text is the reason."""


class Part:
    """A file of which no more is written than its listed size: a server may send without an end."""

    def __init__(self, file: BinaryIO, entry: Entry) -> None:
        self._file, self._entry = file, entry

    def write(self, piece: bytes) -> int:
        """As of a file. Raises ``Refused`` before the first byte too many is written."""
        if self._file.tell() + len(piece) > self._entry.size:
            raise Refused(f"{self._entry.path}: the server sends more than the {self._entry.size} bytes that it lists")
        return self._file.write(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Source:
    """``listing`` gives the commit and all files of it; ``fetch`` brings some of them to ``folder/<path>``.

    What ``fetch`` finds in the folder is the beginning of the same file, and is continued.
    """

    def __init__(self, request: dict[str, Any], token: str) -> None:
        self.request = request
        self.token = token
        self.repo: str = request["repo"]
        self.workers: int = request["workers"]

    def listing(self) -> tuple[str, list[Entry]]:
        raise NotImplementedError

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        raise NotImplementedError

    def _pinned(self, commit: str) -> None:
        if not is_commit(self.request["revision"]):
            revision = self.request["revision"]
            text = (
                f"revision {revision!r} is a branch or a tag, which can move; it"
                if revision
                else "no revision is given; the model"
            )
            raise Refused(
                f"{text} is now at commit {commit}: write that"
                if is_commit(commit)
                else f"{text} cannot be resolved: write the commit's 40 digits"
            )

    def _each(self, work: Callable[[Entry], None], entries: Sequence[Entry]) -> None:
        """Several files at a time; after the first error no further one is begun."""
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = [pool.submit(work, one) for one in entries]
            try:
                for one in waiting:
                    one.result()
            finally:
                for one in waiting:
                    one.cancel()


class HuggingFace(Source):
    """Lists by the library, and takes each file by the library's own resumable GET onto a part whose name does not change.

    The library's snapshot_download would begin each part again in a new process (docs/decisions/020).
    """

    def listing(self) -> tuple[str, list[Entry]]:
        from huggingface_hub import HfApi  # noqa: PLC0415 - exists in the client's environment only

        api = HfApi(endpoint=self.request["endpoint"] or None, token=self.token or False)
        info = api.model_info(self.repo, revision=self.request["revision"] or None, files_metadata=True)
        self._pinned(str(info.sha))
        entries = []
        for one in info.siblings or []:
            sha256 = one.lfs["sha256"] if one.lfs else ""
            entries.append(Entry(one.rfilename, int(one.size or 0), sha256, "" if sha256 else str(one.blob_id)))
        return str(info.sha), entries

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        from huggingface_hub import constants, hf_hub_url  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415
        from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415

        headers = build_hf_headers(token=self.token or False)
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES

        def one_file(entry: Entry) -> None:
            part = folder / entry.path
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("ab") as file:
                if file.tell() > entry.size:
                    file.truncate(0)
                if (have := file.seek(0, os.SEEK_END)) < entry.size:
                    url = hf_hub_url(
                        self.repo,
                        entry.path,
                        revision=self.request["revision"],
                        endpoint=self.request["endpoint"] or None,
                    )
                    http_get(url, Part(file, entry), resume_size=have, headers=headers, expected_size=entry.size)
            finished(entry, part)

        self._each(one_file, entries)


class ModelScope(Source):
    """The library lists, and its snapshot download continues its parts by itself."""

    def _endpoint(self) -> str:
        return str(self.request["endpoint"] or "https://www.modelscope.cn").rstrip("/")

    def _prepare(self) -> None:
        """What the library reads from the environment."""
        os.environ["MODELSCOPE_ENDPOINT"] = self._endpoint()
        if self.token:
            os.environ["MODELSCOPE_API_TOKEN"] = self.token
        os.environ["MODELSCOPE_CACHE"] = str(Path(os.environ["HOME"]) / "modelscope")

    def listing(self) -> tuple[str, list[Entry]]:
        revision = self.request["revision"]
        if not is_commit(revision):
            self._pinned(self._commit(revision or "master"))
        self._prepare()
        keep_to_one_server(self._endpoint())
        # the same method of modelscope.hub leaves the checksums out
        from modelscope_hub import HubApi  # noqa: PLC0415

        api = HubApi(endpoint=self._endpoint(), token=self.token or None)
        files = api.list_repo_files(self.repo, "model", revision=revision, recursive=True)
        return revision, [Entry(one.path, one.size, one.sha256 or "", "") for one in files if one.type != "tree"]

    def _commit(self, revision: str) -> str:
        """The commit of a branch or tag, for the message; empty when the hub does not answer (a private model)."""
        query = urllib.parse.urlencode({"Ref": revision, "PageNumber": 1, "PageSize": 1})
        url = f"{self._endpoint()}/api/v1/models/{self.repo}/commits?{query}"
        try:
            return str(http_client.request(url, timeout=30, proxies=True).json()["Data"]["Commits"][0]["Id"])
        except (ValueError, KeyError, IndexError, TypeError):
            return ""

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        self._prepare()
        from modelscope.hub.snapshot_download import snapshot_download  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        try:
            snapshot_download(
                self.repo,
                revision=self.request["revision"],
                local_dir=str(folder),
                allow_patterns=[glob.escape(one.path) for one in entries],
                max_workers=self.workers,
                endpoint=self._endpoint(),
            )
        finally:
            for one in entries:
                part = folder / one.path
                if part.is_file() and part.stat().st_size == one.size:
                    finished(one, part)


def keep_to_one_server(address: str) -> None:
    """From now on the library ``requests`` shows a token or a session to the server of ``address`` only.

    Of itself it takes the Authorization away on the way to another server, but the cookie of a session goes to every port of a
    host, and to every host of a domain that the server names.
    """
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - exists in the client's environment only

    send = HTTPAdapter.send

    def send_to_others_without(self: Any, request: Any, *rest: Any, **options: Any) -> Any:
        if urllib.parse.urlsplit(request.url)[:2] != urllib.parse.urlsplit(address)[:2]:
            for name in ("Authorization", "Cookie"):
                request.headers.pop(name, None)
        return send(self, request, *rest, **options)

    HTTPAdapter.send = send_to_others_without  # type: ignore[method-assign]


class GitLfs(Source):
    """A bare fetch of one commit, and git-lfs for the objects; they are moved to their place, not copied there."""

    def _settings(self) -> dict[str, str]:
        """The configuration of git and git-lfs beside the node's own.

        The token goes to the server of the repository's address, and to no other: git-lfs asks for the header of each address
        (``http.<url>.*``), such as that of a storage which the server names; git itself would take the header along to where the
        server sends it, so it does not follow.
        """
        # a large blob is streamed, not held in memory (git-config(1), core.bigFileThreshold: 512 MB without it)
        found = {"http.followRedirects": "false", "core.bigFileThreshold": str(COPY_BYTES)}
        server = urllib.parse.urlsplit(self.repo)
        if self.token and server.scheme in ("http", "https"):
            host = server.netloc.rpartition("@")[2]
            found[f"http.{server.scheme}://{host}/.extraHeader"] = f"Authorization: Bearer {self.token}"
        return found

    def _git(self, *words: str, folder: Path, into: IO[bytes] | int = subprocess.PIPE) -> bytes:
        """What git writes; nothing where that goes ``into`` a file."""
        # by the environment, which only root and this user can read (git-config(1), GIT_CONFIG_COUNT)
        settings = self._settings()
        env = dict(os.environ) | {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings.items()):
            env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        done = subprocess.run(["git", *words], cwd=folder, env=env, stdout=into, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            error = done.stderr.decode("utf-8", "replace").strip()[-500:]
            if _SENT_ON.search(error):
                raise Refused(
                    f"the server sends git to another address, which is not followed: write that one ({error})"
                )
            raise RuntimeError(f"git {words[0]}: {error}")
        return done.stdout or b""

    @property
    def clone(self) -> Path:
        return Path(self.request["path"]) / ".fullrank/partial/git"

    def listing(self) -> tuple[str, list[Entry]]:
        revision = self.request["revision"]
        if urllib.parse.urlsplit(self.repo).scheme in ("", "file"):
            # on this node, of whatever owner (git-config(1), safe.directory): git takes this from a file only
            (Path(os.environ["HOME"]) / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        if not is_commit(revision):
            found = self._git("ls-remote", self.repo, revision or "HEAD", folder=Path("/")).decode().split()
            self._pinned(found[0] if found else "")
        if not (self.clone / "HEAD").exists():
            self.clone.mkdir(parents=True, exist_ok=True)
            self._git("init", "--bare", "--quiet", ".", folder=self.clone)
            self._git("remote", "add", "origin", self.repo, folder=self.clone)
        self._git("fetch", "--quiet", "--depth=1", "origin", revision, folder=self.clone)
        entries = []
        for line in self._git("ls-tree", "-r", "-z", "--long", revision, folder=self.clone).split(b"\0"):
            if not line:
                continue
            about, _unused, path = line.partition(b"\t")
            _unused, kind, blob, size = about.split()
            if kind == b"blob":
                entries.append(self._entry(path.decode(errors="surrogateescape"), blob.decode(), int(size)))
        return revision, entries

    def _entry(self, path: str, blob: str, size: int) -> Entry:
        """A pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md) stands for its object."""
        if size < 1024:
            text = self._git("cat-file", "blob", blob, folder=self.clone).decode("utf-8", "replace")
            if text.startswith(_POINTER):
                found = dict(line.partition(" ")[::2] for line in text.splitlines())
                kind, _unused, oid = found.get("oid", "").partition(":")
                if kind != "sha256" or not oid or not _DIGITS.fullmatch(found.get("size", "")):
                    raise Refused(f"{path!r} is no pointer of git-lfs, though it begins as one")
                return Entry(path, int(found["size"]), oid, "")
        return Entry(path, size, "", blob)

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        wanted = [one.path for one in entries if one.sha256]
        if wanted:
            include = f"--include={','.join(wanted)}"
            self._git("lfs", "fetch", include, "--exclude=", "origin", self.request["revision"], folder=self.clone)
        for one in entries:
            part = folder / one.path
            part.parent.mkdir(parents=True, exist_ok=True)
            if one.sha256:
                stored = self.clone / "lfs/objects" / one.sha256[:2] / one.sha256[2:4] / one.sha256
                stored.replace(part)
            else:
                with part.open("wb") as file:
                    self._git("cat-file", "blob", one.git_sha1, folder=self.clone, into=file)
            finished(one, part)


class Folder(Source):
    """A folder that the node sees, e.g. on NFS; links, as in a hub's cache, are followed.

    The checksums are those of the manifest that lies there, if one does. The model's own folder is taken as it is.
    """

    def listing(self) -> tuple[str, list[Entry]]:
        root = Path(self.repo)
        if not root.is_dir():
            raise Refused(f"there is no folder {root} on this node")
        sizes = weights_folder.sizes(root)
        copy = weights_folder.look(root)
        known = {one["path"]: one["sha256"] for one in copy.manifest["files"]} if copy.manifest and copy.ready else {}
        return self.request["revision"], [Entry(path, size, known.get(path, ""), "") for path, size in sizes.items()]

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        def one_file(entry: Entry) -> None:
            part = folder / entry.path
            part.parent.mkdir(parents=True, exist_ok=True)
            with (Path(self.repo) / entry.path).open("rb") as source, part.open("ab") as file:
                source.seek(file.tell())
                part_of = Part(file, entry)
                while piece := source.read(COPY_BYTES):
                    part_of.write(piece)
            finished(entry, part)

        self._each(one_file, entries)


class Arrived(Source):
    """Files that the controller has already put into the partial folder; their list came with the request."""

    def listing(self) -> tuple[str, list[Entry]]:
        return self.request["revision"], [
            Entry(one["path"], one["size"], one["sha256"], "") for one in self.request["files"]
        ]

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        arrived = Path(self.request["path"]) / ARRIVED
        for one in entries:
            if (arrived / one.path).is_file():
                finished(one, arrived / one.path)
            else:
                raise Refused(f"{one.path} did not arrive from the controller")


SOURCES: dict[str, type[Source]] = {
    "huggingface": HuggingFace,
    "modelscope": ModelScope,
    "git-lfs": GitLfs,
    "path": Folder,
    "controller": Arrived,
}
