#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's part in giving a model's files to all nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_distribute
version_added: 0.1.0
short_description: Give a model's files from one node to all others, at the speed of one copy
description:
  - Each node takes slices from the node before it and passes them on at once, so the time hardly grows with the number of
    nodes. Slices are checked as they arrive, files against the sha256 of the manifest before they are put into their place.
  - A transfer is three tasks, each on all hosts at once - O(state=started), O(state=present), O(state=stopped), after
    M(fullrank.serving.model_info) on all of them. Nodes beyond Ansible's C(forks) take part from the first task on.
  - The transfer itself is a transient systemd unit on each node. It goes on when the controller is gone, and ends by itself.
    The next transfer takes what this one left, and fetches the rest only.
  - A node that is gone, or slow, is left out by the nodes behind it, who then take from the one before.
options:
  state:
    description:
      - V(started) - the node takes part. The controller decides from which node each node takes, and fails with the findings of
        all nodes before anything is changed. What an earlier run left running for the same deployment is replaced.
      - V(present) - the node's copy is verified and ready. Waits for it, and shows the progress.
      - V(stopped) - the node takes no part any more, whatever became of the transfer.
      - RV(ignore:changed) is about the copy of the node. A part that starts or ends is no change.
    type: str
    choices: [started, present, stopped]
    required: true
  path:
    description: The model's folder, the same on all nodes.
    type: path
    required: true
  deployment:
    description: With O(state=started), whose transfer this is.
    type: str
    default: ""
  method:
    description:
      - With O(state=started), V(chain) sends, by a program that listens on each node.
      - V(rsync) sends over ssh, file by file, and no program listens. rsync must be there, and each node must be able to log in
        to those before it.
      - V(shared) looks whether all nodes see the same verified copy, and sends nothing.
    type: str
    choices: [chain, rsync, shared]
    default: chain
  rsh:
    description: With O(method=rsync), the command by which a node reaches another one, as C(--rsh) of rsync.
    type: str
    default: ssh -o BatchMode=yes -o ConnectTimeout=5
  copies:
    description:
      - With O(state=started), what M(fullrank.serving.model_info) returned on each host with its option C(listing).
        The order of the hosts is that of the chain.
    type: dict
    default: {}
  source:
    description: With O(state=started), the host whose copy counts where verified copies differ.
    type: str
    default: ""
  source_pending:
    description:
      - With O(state=started), whether a task before this one brings O(source) its copy. In check mode, which does not run that
        task, it is then no finding that no node has a copy yet.
    type: bool
    default: false
  streams:
    description: With O(state=started), slices that a node takes at a time. V(0) means 2, or 8 where all links have 100 Gbit/s.
    type: int
    default: 0
  stall_timeout:
    description: Seconds without anything new after which a node gives up.
    type: int
    default: 60
  linger:
    description:
      - With O(state=started), seconds without a request after which a node that has everything leaves by itself.
        O(state=stopped) makes it leave sooner.
    type: int
    default: 600
  timeout:
    description: Seconds after which the whole transfer is ended on every node.
    type: int
    default: 86400
  part:
    description: Private, set by the action plugin. The node's part as the controller decided it.
    type: dict
  token:
    description: Private, set by the action plugin. The beginning of every path of the transfer.
    type: str
attributes:
  check_mode:
    description: Predicts which copies would change; starts nothing.
    support: full
  diff_mode:
    description: Weights are not shown.
    support: none
  action:
    description: From which node each node takes is decided on the controller, and O(state=present) watches from there.
    support: full
notes:
  - The nodes answer each other only, on the address of O(copies), to paths that begin with a token which is new in every run. The
    token is in a file of mode 0600 on the nodes while they take part. What travels is not encrypted.
  - A node whose copy is C(READY) is trusted, apart from the sizes of its files. Every other file is hashed before it is used.
requirements:
  - systemd 248 or newer
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read what every node has
  fullrank.serving.model_info:
    path: /srv/models/deepseek-r1
    listing: true
    address: 192.0.2.12
  register: copy

- name: Start every node's part
  fullrank.serving.model_distribute:
    state: started
    path: /srv/models/deepseek-r1
    deployment: deepseek_r1
    copies: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'copy'))) }}"
    source: n1

- name: Wait for the verified copy
  fullrank.serving.model_distribute:
    state: present
    path: /srv/models/deepseek-r1

- name: End every node's part
  fullrank.serving.model_distribute:
    state: stopped
    path: /srv/models/deepseek-r1
"""

RETURN = r"""
findings:
  description: What forbids the transfer, on all nodes.
  returned: with O(state=started), on failure
  type: list
  elements: dict
active:
  description: Whether the node's part runs.
  returned: with O(state=started) and O(state=present)
  type: bool
progress:
  description: >-
    The progress of the node - phase (C(checking), C(receiving), C(complete), C(failed)), error, bytes of total that are here,
    files_done of files, received (bytes that came over the network), source (the node they come from), seconds and cpu_s since
    the start.
  returned: with O(state=started) and O(state=present), when it has a part
  type: dict
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files, payload
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import worker_user
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import (
    peer,
    request,
    rsync,
)

START_LIMIT_S = 20


def listed(part: dict[str, Any]) -> set[str]:
    """The paths of the files of a transfer."""
    return {one["path"] for one in part["manifest"]["files"]}


class Transfer:
    """The node's part in the transfer into one folder."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.root = Path(self.params["path"])
        self.unit = f"{request.transfer_id(str(self.root))}.service"
        self.folder = Path(request.part_folder(str(self.root)))
        self.progress = Path(request.progress_file(str(self.root)))

    def started(self) -> dict[str, Any]:
        part = self.params["part"]
        if part["upstreams"]:
            try:
                worker_user.refuse_foreign(self.root, listed(part))
            except worker_user.NotOurs as refused:
                self.module.fail_json(msg=str(refused))
        if part["rsh"] and part["upstreams"]:
            self._reach(part["rsh"], part["upstreams"][0])
        self._replace(part["deployment"])
        self.root.mkdir(parents=True, exist_ok=True)
        self._write_program()
        config = self.folder / "config.json"
        config.touch(mode=0o600)
        settings = {name: part[name] for name in part if name not in ("deployment", "timeout")}
        settings.update(token=self.params["token"], root=str(self.root), progress=str(self.progress))
        config.write_text(json.dumps(settings), encoding="utf-8")
        (self.folder / "deployment").write_text(part["deployment"], encoding="utf-8")
        worker = self._worker(part)
        worker.own(self.folder)
        worker.own(self.progress.parent)
        unit = request.unit(str(self.root), part, sys.executable, worker)
        code, _unused, error = self.module.run_command(transient.start_command(unit))
        if code:
            self.stopped()
            self.module.fail_json(msg=f"the transfer could not be started: {error.strip()}")
        return self._first_report()

    def _worker(self, part: dict[str, Any]) -> worker_user.Worker:
        """Who does this node's part: root where rsync logs in with the keys of root."""
        if part["rsh"]:
            return worker_user.Worker(0, 0, "rsync logs in with the keys of root")
        if part["upstreams"]:
            found = worker_user.hand_over(self.root, [sys.executable], listed(part))
        else:
            found = worker_user.hand_over(
                None, [sys.executable, *(str(self.root / path) for path in sorted(listed(part)))]
            )
        if found.why_root:
            self.module.warn(f"the transfer into {self.root} runs as root: {found.why_root}")
        return found

    def _reach(self, rsh: str, other: dict[str, Any]) -> None:
        """Log in once to the node before: a failure is reported before anything is changed."""
        self.module.get_bin_path("rsync", required=True)
        code, _unused, error = self.module.run_command(rsync.rsync(rsh, other["address"], "/", ["--list-only"]))
        if code:
            self.module.fail_json(
                msg=f"rsync of this node does not reach {other['name']} ({other['address']}) by {rsh}: {' '.join(error.split())}"
            )

    def _replace(self, deployment: str) -> None:
        """End what an earlier run left behind; another deployment's transfer into the same folder is not ours to end."""
        owner = self.folder / "deployment"
        if self._active() and owner.is_file() and (other := owner.read_text(encoding="utf-8")) != deployment:
            self.module.fail_json(
                msg=f"{self.root}: a transfer for deployment {other} is under way on this node; run again when it has ended"
            )
        self.stopped()

    def _write_program(self) -> None:
        """The program and what it imports, as the package they are in."""
        for folder in (self.folder, self.progress.parent):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        for path, text in payload.files(peer, request.PACKAGE).items():
            files.write(self.folder / path, text, 0o600)

    def _first_report(self) -> dict[str, Any]:
        """Wait until it listens, or has written why it cannot."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            found = self.present()
            phase = found.get("progress", {}).get("phase")
            if phase == "failed":
                self.module.fail_json(msg=found["progress"]["error"])
            if phase:
                return found
            if not found["active"]:
                break
            time.sleep(0.1)
        self.module.fail_json(msg=f"the transfer did not start; see journalctl -u {self.unit}")
        raise AssertionError

    def present(self) -> dict[str, Any]:
        """How far the part is; the action calls again until the end."""
        found: dict[str, Any] = {"active": self._active()}
        if self.progress.exists():
            found["progress"] = json.loads(self.progress.read_text(encoding="utf-8"))
        return found

    def _active(self) -> bool:
        return transient.runs(self.module.run_command, self.unit)

    def stopped(self) -> dict[str, Any]:
        transient.stop(self.module.run_command, self.unit)
        for folder in (self.folder, self.progress.parent):
            shutil.rmtree(folder, ignore_errors=True)
        return {}


def main() -> None:
    module = AnsibleModule(argument_spec={**request.OPTIONS, **request.PRIVATE_OPTIONS}, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="nothing is started or ended in check mode")
    transfer = Transfer(module)
    module.exit_json(changed=False, **getattr(transfer, module.params["state"])())


if __name__ == "__main__":
    main()
