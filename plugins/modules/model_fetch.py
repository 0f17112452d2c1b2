#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weights of a model into a folder of this node, as a unit that outlives the connection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_fetch
version_added: 0.1.0
short_description: Fetch the weights of a model into a folder of one node
description:
  - Fetches from ModelScope, Hugging Face, a git repository with LFS, a folder that the node sees, or a folder on the controller;
    verifies each file before it gets its name; writes the manifest and C(READY) below C(.fullrank) in O(path).
  - The work is done by a transient systemd unit on the node, which can write to O(path) only, as the owner of O(path), or as
    the account C(fullrank-weights) where that is root. It goes on when the controller is interrupted, and the next run watches
    it. What arrived is kept; a run after any interruption requests what is missing only.
  - While it runs a line every few seconds shows how far it is, how fast, and how long it will take.
  - Changes nothing, and sends the hub no request, when O(path) holds a verified copy of what is wanted.
  - A folder that holds another revision is refused, because an engine may be reading it; and so is a folder of the system, and
    one with files that has no C(.fullrank), unless it is O(repo) of O(hub=path) itself. Make C(.fullrank) in it where all that is
    in it belongs to the model.
  - Proxies and certificates (C(https_proxy), C(no_proxy), C(SSL_CERT_FILE), C(REQUESTS_CA_BUNDLE) and the like) come from the
    environment of the task.
options:
  path:
    description: Folder of the weights. One folder holds one revision.
    type: path
    required: true
  hub:
    description:
      - Where they come from. V(path) is a folder on the node, e.g. on NFS or a hub's cache, whose links are followed; with the
        same folder as O(path) its files are taken as they are. V(controller) is a folder on the controller.
    type: str
    choices: [modelscope, huggingface, git-lfs, path, controller]
    required: true
  repo:
    description: Name of the model on the hub (C(deepseek-ai/DeepSeek-R1)), address of the git repository, or the folder.
    type: str
    required: true
  revision:
    description:
      - The commit, 40 hexadecimal digits, or 64 of a git repository with SHA-256. Required of hubs and git.
      - A branch or a tag is refused, with the commit that it names now.
    type: str
    default: ""
  include:
    description: Shell patterns over the paths of files to fetch. C(*) also matches C(/). All files when empty.
    type: list
    elements: str
    default: []
  exclude:
    description: Shell patterns over the paths of files not to fetch.
    type: list
    elements: str
    default: []
  endpoint:
    description: Address of a mirror of the hub. The hub's own when empty.
    type: str
    default: ""
  token:
    description: The user's token at the hub, for private and gated models. Handed over in a file that is deleted when it is read.
    type: str
  python:
    description: Python with the hub's client. The module's own when empty, which does for V(git-lfs), V(path) and V(controller).
    type: path
  workers:
    description: Files that are fetched at a time.
    type: int
    default: 4
  timeout:
    description: Seconds after which the fetch is ended. What arrived is kept, and the next run asks for the rest only.
    type: int
    default: 259200
  start:
    description: Private, unset by the action plugin when it looks again. Start the fetch where one is needed and none runs.
    type: bool
    default: true
  files:
    description: Private, set by the action plugin. The files that come from the controller.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Predicts whether something would be fetched, without a request to the hub.
    support: full
  diff_mode:
    description: Weights are not shown.
    support: none
  action:
    description: Watches from the controller, and sends the files of O(hub=controller).
    support: full
requirements:
  - systemd 248 or newer
  - Python 3.9 or newer with C(huggingface_hub) 0.36 or newer, or C(modelscope) 1.38 or newer, in O(python)
  - git and git-lfs on the node for O(hub=git-lfs)
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Fetch a model to the first node
  fullrank.serving.model_fetch:
    path: /data/models/qwen3-8b
    hub: modelscope
    repo: Qwen/Qwen3-8B
    revision: 0123456789abcdef0123456789abcdef01234567
    exclude: ["*.pth", "original/*"]
    python: /opt/fullrank/hub-modelscope/bin/python
"""

RETURN = r"""
fetch:
  description: >-
    state (C(ready), C(running), C(needed) or C(failed)), error in words, and where it runs or ran its progress -
    phase, bytes, total, files_done and files; of what comes from the controller also lacking_space, in words.
  returned: always
  type: dict
manifest_sha256:
  description: The sha256 of the manifest; names exactly these weights.
  returned: when the copy is ready
  type: str
"""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files, payload
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest, worker_user
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan, worker

PACKAGE = "fullrank_fetch"


def wanted(params: dict[str, Any]) -> dict[str, Any]:
    request = {
        name: params[name] for name in ("path", "hub", "repo", "revision", "include", "exclude", "endpoint", "workers")
    }
    return request | {"files": params["files"]}


def same_source(found: dict[str, Any], request: dict[str, Any]) -> bool:
    return all(found["source"][name] == request[name] for name in ("hub", "repo", "revision"))


def is_there(root: Path, request: dict[str, Any]) -> bool:
    """Whether a verified copy of exactly this request is there, by sizes. One that was distributed has no request beside it."""
    copy = weights_folder.look(root)
    if not (copy.ready and copy.manifest and same_source(copy.manifest, request)):
        return False
    try:
        made = json.loads((root / plan.REQUEST).read_text())
    except FileNotFoundError:
        made = plan.deciding(request)
    return made == plan.deciding(request) and not weights_folder.verify(root, copy.manifest["files"], quick=True)


def other_revision(root: Path, request: dict[str, Any]) -> str:
    """Why this folder must not be written to; empty when it may."""
    copy = weights_folder.look(root)
    if not copy.manifest or same_source(copy.manifest, request):
        return ""
    source = copy.manifest["source"]
    return (
        f"{root} holds {source['repo']} {source['revision']}: give {request['repo']} {request['revision']} a folder of its own, "
        "e.g. with the revision in its name"
    )


def reads(request: dict[str, Any], python: str) -> list[str]:
    """Where the fetch reads: its interpreter, and a source on this node with what its links lead to."""
    found = {str(Path(python).resolve())}
    if request["hub"] == "path":
        root = Path(request["repo"])
        found |= {str(root), *(str((root / name).resolve().parent) for name in weights_folder.sizes(root))}
    return sorted(found)


def source_files(request: dict[str, Any]) -> list[str]:
    """The files of a source on this node."""
    root = Path(request["repo"])
    return [str(root / name) for name in weights_folder.sizes(root)] if request["hub"] == "path" else []


def area(request: dict[str, Any]) -> Path:
    """What the fetch writes to: the model's folder; of one that is taken as it is, our own in it."""
    root = Path(request["path"])
    as_it_is = request["hub"] == "path" and Path(request["repo"]) == root
    return root / manifest.FOLDER if as_it_is else root


class Fetch:
    """The unit on this node, and its progress."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.request = wanted(module.params)
        self.path = self.request["path"]
        self.folder = Path(plan.run_folder(self.path))
        self.unit = plan.unit_name(self.path)

    def start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        # a copy: the module's own archive is gone when the module has ended
        for path, text in payload.files(worker, PACKAGE).items():
            files.write(self.folder / "lib" / path, text, 0o600)
        (self.folder / "request.json").write_text(json.dumps(self.request))
        # the address of a proxy can hold a password
        self._hand_over("environment", json.dumps(plan.environment(os.environ)))
        self._hand_over("token", self.module.params["token"] or "")
        python = self.module.params["python"] or sys.executable
        writes = area(self.request)
        writes.mkdir(parents=True, exist_ok=True)  # what the unit may write to must exist
        found = reads(self.request, python)
        user = worker_user.hand_over(writes, [python, *found, *source_files(self.request)])
        user.own(self.folder)
        if user.why_root:
            self.module.warn(f"the fetch into {self.path} runs as root: {user.why_root}")
        program, seconds = payload.main(worker, PACKAGE), self.module.params["timeout"]
        unit = plan.unit(self.path, python, program, seconds, writes=str(writes), reads=found, worker=user)
        self.module.run_command(transient.start_command(unit), check_rc=True)

    def _hand_over(self, name: str, secret: str) -> None:
        """In a file that the program deletes when it has read it."""
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(secret)

    def lacking_space(self) -> str:
        """Why what the controller would send does not fit."""
        root = Path(self.path)
        there = weights_folder.sizes(root), weights_folder.sizes(root / plan.ARRIVED)
        rest = [one for one in self.request["files"] if one["size"] not in [sizes.get(one["path"]) for sizes in there]]
        place = next(folder for folder in (root, *root.parents) if folder.exists())
        return plan.lacking_space(self.path, sum(one["size"] for one in rest), shutil.disk_usage(place).free)

    def progress(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / "progress.json").read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def look(self) -> dict[str, Any]:
        """The state; what a finished fetch left in /run is cleared away."""
        runs = transient.runs(self.module.run_command, self.unit)
        progress = self.progress()
        if runs:
            return {"state": "running", "error": "", **{k: v for k, v in progress.items() if k != "error"}}
        if is_there(Path(self.path), self.request):
            if not self.module.check_mode:
                shutil.rmtree(self.folder, ignore_errors=True)
            return {"state": "ready", "error": "", **{k: v for k, v in progress.items() if k != "error"}}
        if not self.folder.exists():
            return {"state": "needed", "error": ""}
        if not self.module.check_mode:
            for name in ("token", "environment"):  # of one that ended before it could read them
                (self.folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # there is something in it
                Path(self.path).rmdir()
        error = progress.get("error") if progress.get("phase") == "failed" else ""
        if not error:
            lines = transient.last_lines(self.module.run_command, self.unit)
            error = f"the fetch was ended before it was done; its last lines: {lines}"
        return {**progress, "state": "failed", "error": error}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "hub": {"type": "str", "choices": list(manifest.HUBS), "required": True},
            "repo": {"type": "str", "required": True},
            "revision": {"type": "str", "default": ""},
            "include": {"type": "list", "elements": "str", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "endpoint": {"type": "str", "default": ""},
            "token": {"type": "str", "no_log": True},
            "python": {"type": "path"},
            "workers": {"type": "int", "default": 4},
            "timeout": {"type": "int", "default": 259200},
            "start": {"type": "bool", "default": True},
            "files": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    fetch = Fetch(module)
    changed = False
    found = fetch.look()
    if found["state"] in ("needed", "failed"):
        try:
            worker_user.refuse_foreign(Path(fetch.path), as_it_is=area(fetch.request) != Path(fetch.path))
        except worker_user.NotOurs as error:
            module.fail_json(msg=str(error), fetch=found)
    if module.params["hub"] == "controller" and found["state"] in ("needed", "failed"):
        found["lacking_space"] = fetch.lacking_space()
    if module.params["start"] and found["state"] in ("needed", "failed"):
        if why := other_revision(Path(fetch.path), fetch.request):
            module.fail_json(msg=why, fetch=found)
        python = module.params["python"]
        if python and not module.check_mode and not Path(python).exists():
            module.fail_json(
                msg=f"there is no {python}: the client of {module.params['hub']} is not installed", fetch=found
            )
        changed = True
        if not module.check_mode:
            fetch.start()
            found = fetch.look()
    result: dict[str, Any] = {"fetch": found}
    if found["state"] == "ready":
        result["manifest_sha256"] = weights_folder.look(Path(fetch.path)).digest
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
