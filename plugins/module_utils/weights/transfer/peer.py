# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node of a chain in which a model's files travel: it takes slices from the node before it and gives them to those after.

A program of its own, run on every node at once for the time of one transfer; ``python3 -m ...transfer.peer CONFIG``, where
CONFIG is a JSON file of mode 0600 (see ``Config``). docs/weights-distribute.md describes how the nodes work together.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.receiver import Receiver
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.rsync import Copier
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.server import Server
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.slices import (
    CHECKING,
    COMPLETE,
    FAILED,
    RECEIVING,
    File,
    Progress,
    Route,
    Shelf,
    Stop,
    Upstream,
    log,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.target import Folder

REPORT_S = 1


@dataclass(frozen=True)
class Config:
    """A node's part in the transfer."""

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
    """Addresses that are answered."""
    upstreams: list[dict[str, Any]]
    """name, address, port of the nodes to take from, the wanted one first; none for a node that has everything."""
    stall_s: float
    """Seconds without anything new after which this node gives up."""
    linger_s: float
    """Seconds without a request after which a complete node leaves."""
    progress: str
    """The file that the progress is written to."""
    rsh: str
    """How the other nodes are reached where nothing but ssh may pass; empty where this node listens and connects by itself."""


class Node:
    """This node's part of the transfer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        root, listed = Path(config.root), config.manifest["files"]
        self.shelf = Shelf([File(i, one, root, config.slice_bytes) for i, one in enumerate(listed)])
        self.route = Route([Upstream(**one) for one in config.upstreams])
        self.progress = Progress()
        self.reporting = threading.Lock()
        origin = config.upstreams[-1]["name"] if config.upstreams else ""
        self.folder = Folder(root, config.manifest, self.shelf, self.progress, origin)

    def run(self) -> int:
        """Take part until no node needs this one any more; the exit status."""
        config, progress = self.config, self.progress
        try:
            if config.rsh:
                self._take_part()
                return 0
            server = Server(
                self.shelf, progress, address=config.address, port=config.port, peers=config.peers, token=config.token
            )
            with server.answering():
                # not before it listens: what is reported first is that it takes part
                self._take_part()
                server.last_request = time.monotonic()
                while time.monotonic() - server.last_request < config.linger_s:
                    time.sleep(min(1.0, config.linger_s))
        except (Stop, OSError) as error:
            progress.state, progress.message = FAILED, str(error)
            log(progress.message)
            self.report()
            return 1
        return 0

    def _take_part(self) -> None:
        threading.Thread(target=self._report_on, daemon=True).start()
        self._get_everything()
        self.progress.state, self.progress.finished_at = COMPLETE, time.time()
        self.report()

    def _get_everything(self) -> None:
        if not self.route.upstreams:
            # it has everything, and is believed: who receives compares
            for file in self.shelf.files:
                self.shelf.add_all(file)
            return
        self.folder.check()
        self.progress.state = RECEIVING
        self.progress.count()
        config = self.config
        if config.rsh:
            Copier(
                self.folder,
                self.route,
                rsh=config.rsh,
                progress_file=config.progress,  # the same path on all nodes
                streams=config.streams,
                stall_s=config.stall_s,
            ).run()
        else:
            Receiver(self.folder, self.route, token=config.token, streams=config.streams, stall_s=config.stall_s).run()
        self.folder.finish()

    def report(self) -> None:
        """Write the progress file once, in one step."""
        progress, current = self.progress, self.route.current()
        checking = progress.state == CHECKING
        state = {
            "phase": progress.state,
            "error": progress.message,
            "bytes": progress.checked if checking else self.shelf.bytes,
            "total": self.shelf.total,
            "files_done": sum(file.placed for file in self.shelf.files),
            "files": len(self.shelf.files),
            "received": progress.received,
            "source": current.name if current and progress.state == RECEIVING else "",
            "seconds": round(time.monotonic() - progress.began, 2),
            "at": time.time(),
            "quiet_s": round(progress.quiet_s, 1),
            "finished_at": progress.finished_at,
            "cpu_s": round(time.process_time(), 2),
        }
        with self.reporting:
            common_files.write(Path(self.config.progress), json.dumps(state), 0o644, lasting=False)

    def _report_on(self) -> None:
        while True:
            self.report()
            time.sleep(REPORT_S)


def main(path: str) -> int:
    """Run with the configuration in a file."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is on its way costs a slice: nothing is waited for
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    settings["manifest"] = weights_manifest.parse(weights_manifest.render(settings["manifest"]))
    return Node(Config(**settings)).run()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
