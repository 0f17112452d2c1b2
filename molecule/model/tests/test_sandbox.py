# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that somebody else has taken over, in the very units that they run in: what they can still do.

`tests/security/attacker.py` takes the worker's place, and a worker without its own check fetches a hostile repository.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.standins.forge import Forge, Storage, pointer
from tests.unit import conftest as _conftest  # noqa: F401 - makes the collection importable

# isort: split
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import launch
from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import conversion
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import request
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import UID, Worker

CHECKOUT = Path(__file__).resolve().parents[3]
MODEL, OTHER = "/data/attacked/m", "/data/attacked/other"
VICTIM = f"{OTHER}/victim"  # on the same file system: without the unit it could be moved
PROGRAM = "/usr/local/lib/fullrank-attacker.py"
PYTHON = "/usr/bin/python3"
OWN, ROOT = Worker(UID, UID), Worker(0, 0, "as a test")
PART: dict[str, Any] = {"timeout": 60, "port": 7000, "rsh": "", "upstreams": [{}]}


def put(node: Host, path: str, text: str) -> None:
    node.check_output(
        f"mkdir -p {shlex.quote(str(Path(path).parent))}; printf %s {shlex.quote(text)} > {shlex.quote(path)}"
    )


@pytest.fixture
def attacked(node: Host) -> Iterator[Host]:
    node.check_output(f"mkdir -p {MODEL}/.fullrank {OTHER} /etc/fullrank && chown -R {UID}:{UID} {MODEL}")
    put(node, VICTIM, "root's")
    put(node, "/etc/fullrank/attacked.secret.env", "KEY=x")
    put(node, PROGRAM, (CHECKOUT / "tests/security/attacker.py").read_text())
    yield node
    node.check_output(f"rm -rf /data/attacked {PROGRAM} /etc/fullrank/attacked.secret.env")


def fetch(who: Worker) -> transient.Unit:
    return plan.unit(MODEL, PYTHON, "any", 60, writes=MODEL, reads=[], worker=who)


def transfer(who: Worker, **changes: Any) -> transient.Unit:
    return request.unit(MODEL, PART | changes, PYTHON, who)


def convert(who: Worker) -> transient.Unit:
    sandbox = conversion.sandbox(PYTHON, [Path(OTHER)], Path(MODEL), "cpu", who)
    return transient.Unit("fullrank-convert-attacked.service", "", [PYTHON], sandbox, seconds=60)


def check() -> transient.Unit:
    return launch.unit("attacked", [PYTHON], {}, 60, dynamic_user=True, backend="gloo")


ALWAYS = {"write to /dev/shm"}
NETWORK = {"use a network", "reach this machine"}
# who is root still owns what root owns, and has two capabilities for files of others; each line is a reason for a user of its own
AS_ROOT = {
    "read the key of sshd",
    "read the journal",
    "stop the first process",
    "see processes of others",
    "become root",
}


@pytest.mark.parametrize(
    ("unit", "allowed"),
    [
        pytest.param(fetch(OWN), {"write to the model", *NETWORK}, id="fetch"),
        pytest.param(transfer(OWN), {"write to the model", *NETWORK}, id="transfer"),
        pytest.param(transfer(OWN, upstreams=[]), NETWORK, id="transfer from here"),
        pytest.param(convert(OWN), {"write to the model", "generate code"}, id="convert"),
        pytest.param(check(), {*NETWORK, "generate code"}, id="communication check"),
        pytest.param(fetch(ROOT), {"write to the model", *NETWORK, *AS_ROOT}, id="fetch as root"),
    ],
)
def test_what_a_worker_can_do_that_was_taken_over(attacked: Host, unit: transient.Unit, allowed: set[str]) -> None:
    for folder in (plan.run_folder(MODEL), request.progress_folder(MODEL)):
        attacked.check_output(f"mkdir -p {folder}")
    taken = replace(unit, command=[PYTHON, PROGRAM, MODEL, OTHER, VICTIM], attached=True)
    done = attacked.run(shlex.join(transient.start_command(taken)))
    assert done.rc == 0, done.stderr
    found = json.loads(done.stdout)
    beyond = set(found["could"]) - allowed - ALWAYS
    assert not beyond
    assert ("write to the model" in found["could"]) == ("write to the model" in allowed)
    assert (found["uid"] == 0) == ("become root" in allowed)
    assert attacked.file(VICTIM).content_string == "root's"


@pytest.fixture
def hostile() -> Iterator[tuple[str, str]]:
    """A repository whose pointer names the victim, where the node sees it, and its commit."""
    folder = CHECKOUT / f".cache/models/hostile-{os.environ.get('GROUND_NAME', 'fr')}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    storage = Storage()
    forge = Forge(folder, storage)
    commit = forge.commit({"model.safetensors": pointer(VICTIM, 6), "config.json": "{}"})
    forge.server_close()
    storage.server_close()
    yield f"file:///srv/models/{folder.name}/m.git", commit
    shutil.rmtree(folder)


def test_a_hostile_repository_is_refused(play: Callable[..., Any], attacked: Host, hostile: tuple[str, str]) -> None:
    repo, commit = hostile
    options = {"model_hub": "git-lfs", "model_repo": repo, "model_path": MODEL}
    run = play("molecule/model/converge.yml", **options, model_revision=commit)
    assert run.rc != 0 and "no sha256" in run.printed
    assert attacked.file(VICTIM).content_string == "root's"


@pytest.mark.parametrize("who", [OWN, ROOT], ids=["own user", "root"])
def test_a_worker_without_its_check_deletes_nothing_outside(
    attacked: Host, hostile: tuple[str, str], who: Worker
) -> None:
    """The unit is the second wall: this worker follows the pointer."""
    repo, commit = hostile
    run = plan.run_folder(MODEL)
    texts = payload.files(worker, "fullrank_fetch")
    (name,) = (one for one in texts if one.endswith("fetch/plan.py"))
    texts[name] += "\n\ndef refused(listed):\n    return []\n"
    wanted = {"path": MODEL, "hub": "git-lfs", "repo": repo, "revision": commit, "include": [], "exclude": []}
    put(attacked, f"{run}/request.json", json.dumps(wanted | {"endpoint": "", "workers": 1, "files": []}))
    for path, text in texts.items():
        put(attacked, f"{run}/lib/{path}", text)
    attacked.check_output(f"chown -R {who.uid}:{who.gid} {run} {MODEL}")
    unit = plan.unit(*(MODEL, PYTHON, payload.main(worker, "fullrank_fetch"), 30), writes=MODEL, reads=[], worker=who)
    done = attacked.run(shlex.join(transient.start_command(replace(unit, attached=True))))
    assert attacked.file(VICTIM).content_string == "root's"
    # it did try
    assert f"Invalid cross-device link: '{VICTIM}'" in done.stdout or f"Permission denied: '{VICTIM}'" in done.stdout
