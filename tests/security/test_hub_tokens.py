# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's token goes to the hub and to no storage that the hub names: the real clients of both hubs, two versions each.

The hub is a stand-in that sends large files on to another server, as the real ones do; all of it is on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.standins.forge import Storage
from tests.standins.hubs import COMMIT, LFS_FROM_BYTES, TOKEN, Faults, Hub

CHECKOUT = Path(__file__).resolve().parents[2]
CLIENTS = CHECKOUT / ".cache/hub-clients"
WORKER = "ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.worker"
SESSION = "stand-in-session"
"""What ModelScope gives for a token."""
LIMIT_S = 60
WEIGHTS = b"w" * (2 * LFS_FROM_BYTES)


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    server = Storage(request.param)
    server.put(WEIGHTS)
    with server.serving():
        yield server


@pytest.fixture
def hub(storage: Storage) -> Iterator[Hub]:
    server = Hub({"config.json": b"{}", "model.safetensors": WEIGHTS})
    server.faults = Faults(private=True, storage=storage.url)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(work: Path, client: str, hub: Hub) -> dict[str, Any]:
    """The end of a fetch into ``work``/model: its progress file."""
    run = work / "run"
    run.mkdir()
    request = {"path": str(work / "model"), "repo": "o/m", "revision": COMMIT, "include": [], "exclude": []}
    request |= {"hub": "huggingface" if client.startswith("hugging") else "modelscope"}
    request |= {"endpoint": hub.url, "workers": 2, "files": []}
    (run / "request.json").write_text(json.dumps(request))
    (run / "token").write_text(TOKEN)
    env = {"PATH": os.environ["PATH"], "HOME": str(run), "PYTHONPATH": str(CHECKOUT / "collections")}
    env |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(CLIENTS / client / "bin/python"), "-m", WORKER, str(run)]
    subprocess.run(command, env=env, check=False, timeout=LIMIT_S)
    return dict(json.loads((run / "progress.json").read_text()))


@pytest.mark.parametrize("storage", ["127.0.0.1", "127.0.0.2"], indirect=True, ids=["other port", "other address"])
@pytest.mark.parametrize(
    "client", ["huggingface_hub-2.4.0", "huggingface_hub-0.36.2", "modelscope-1.40.2", "modelscope-1.38.1"]
)
def test_a_storage_gets_no_token(client: str, hub: Hub, storage: Storage, tmp_path: Path) -> None:
    assert fetch(tmp_path, client, hub)["error"] == ""
    assert (tmp_path / "model/model.safetensors").read_bytes() == WEIGHTS
    # it did go to the hub, or the hub would have refused; and the storage was asked
    assert any(TOKEN in value or SESSION in value for one in hub.seen for value in one.values())
    assert storage.seen
    assert storage.received(TOKEN) + storage.received(SESSION) == []
