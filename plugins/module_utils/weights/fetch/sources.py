# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where weights come from: what each source lists, and how a file is brought from it into a folder.

Runs in the environment of the hub's own client. Private to this collection.
"""

from __future__ import annotations

import glob
import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.git_lfs import GitLfs
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import ARRIVED, Entry, is_commit
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.source import (
    COPY_BYTES,
    Finished,
    Part,
    Refused,
    Source,
)

CHUNK_BYTES = 1 << 20
"""What huggingface_hub holds of a file before it writes, and what is lost of it in an interruption; 10 MiB of itself."""


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
