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
  - Four calls make a transfer, each on all hosts at once - V(inspected), V(started), V(awaited), V(stopped).
  - The transfer itself is a transient systemd unit on each node. It goes on when the controller is gone, and ends by itself.
    The next transfer takes what this one left, and fetches the rest only.
  - A node that is gone, or slow, is left out by the nodes behind it, who then take from the one before.
options:
  state:
    description:
      - V(inspected) tells what the node has, and changes nothing.
      - V(started) decides on the controller who takes from whom, fails with the findings of all nodes before anything is
        changed, and starts the node's part. What an earlier run left running for the same deployment is replaced.
      - V(awaited) shows how far the node is, every few seconds, until its copy is verified and ready.
      - V(stopped) ends the node's part, whatever became of the transfer.
      - V(running) is what V(awaited) asks the node again and again.
    type: str
    choices: [inspected, started, awaited, stopped, running]
    required: true
  path:
    description: The model's folder, the same on all nodes.
    type: path
    required: true
  address:
    description: With O(state=inspected), this node's address on the network between the ranks. Nothing is sent over another.
    type: str
    default: ""
  interface:
    description: With O(state=inspected), its interface, for the rate of the link.
    type: str
    default: ""
  port:
    description: With O(state=inspected), TCP port of the transfer on O(address). V(0) takes one that is free.
    type: int
    default: 0
  deployment:
    description: With O(state=started), whose transfer this is.
    type: str
    default: ""
  method:
    description:
      - With O(state=started), V(chain) sends, by a program that listens on each node.
      - V(rsync) sends over ssh, file by file, and nobody listens. rsync must be there, and each node must be able to log in to
        those before it.
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
      - With O(state=started), what O(state=inspected) returned on each host. The order of the hosts is that of the chain.
    type: dict
    default: {}
  source:
    description: With O(state=started), the host whose copy counts where verified copies differ.
    type: str
    default: ""
  source_pending:
    description:
      - With O(state=started), whether a task before this one brings O(source) its copy. In check mode, which does not run that
        task, nobody having a copy yet is then no finding.
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
      - With O(state=started), seconds without a question after which a node that has everything leaves by itself.
        V(awaited) and V(stopped) make it leave sooner.
    type: int
    default: 600
  timeout:
    description: Seconds after which the whole transfer is ended on every node.
    type: int
    default: 86400
  part:
    description: The node's part as the controller decided it. Set by the action.
    type: dict
  token:
    description: What every path of the transfer begins with. Set by the action.
    type: str
attributes:
  check_mode:
    description: Tells which nodes would get how much; starts nothing.
    support: full
  diff_mode:
    description: Weights are not shown.
    support: none
  action:
    description: Who takes from whom is decided on the controller, and V(awaited) watches from there.
    support: full
notes:
  - The nodes answer each other only, on O(address), to paths that begin with a token which is new in every run. The token is in a
    file of mode 0600 on the nodes while they take part. What travels is not encrypted.
  - A node whose copy is C(READY) is believed, apart from the sizes of its files. Every other file is hashed before it is used.
requirements:
  - systemd 248 or newer
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Look what every node has
  fullrank.serving.model_distribute:
    state: inspected
    path: /srv/models/deepseek-r1
    address: 192.0.2.12
  register: copy

- name: Start every node's part
  fullrank.serving.model_distribute:
    state: started
    path: /srv/models/deepseek-r1
    deployment: deepseek_r1
    copies: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'copy'))) }}"
    source: n1

- name: Wait until the copy is there, and verified
  fullrank.serving.model_distribute:
    state: awaited
    path: /srv/models/deepseek-r1

- name: Nobody needs the others any more
  fullrank.serving.model_distribute:
    state: stopped
    path: /srv/models/deepseek-r1
"""

RETURN = r"""
ready:
  description: Whether the copy is verified, by its C(READY) and the sizes of its files.
  returned: with O(state=inspected)
  type: bool
why_not:
  description: In words, when it is not.
  returned: with O(state=inspected)
  type: str
digest:
  description: sha256 of the manifest. Empty without one.
  returned: with O(state=inspected)
  type: str
manifest:
  description: The manifest of a copy that is ready.
  returned: with O(state=inspected)
  type: dict
sizes:
  description: Path and bytes of the files that are in their place.
  returned: with O(state=inspected)
  type: dict
partial_bytes:
  description: Bytes that unfinished files of earlier transfers take on the disk.
  returned: with O(state=inspected)
  type: int
free_bytes:
  description: Bytes that are free where the folder is, or will be.
  returned: with O(state=inspected)
  type: int
address:
  description: As given.
  returned: with O(state=inspected)
  type: str
port:
  description: The port, given or free.
  returned: with O(state=inspected)
  type: int
link_gbps:
  description: Rate of the link in Gbit/s. 0 when unknown.
  returned: with O(state=inspected)
  type: float
findings:
  description: What stands against the transfer, on all nodes.
  returned: with O(state=started), on failure
  type: list
  elements: dict
active:
  description: Whether the node's part runs.
  returned: with O(state=running) and O(state=awaited)
  type: bool
progress:
  description: >-
    How far the node is - state (C(checking), C(receiving), C(complete), C(failed)), message, bytes of total that are here,
    received (bytes that came over the network), source (from whom), seconds and cpu_s since the start.
  returned: with O(state=running) and O(state=awaited), when it has a part
  type: dict
"""

import errno
import json
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files, payload
from ansible_collections.fullrank.serving.plugins.module_utils.node import links
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import (
    peer,
    request,
    rsync,
)

START_LIMIT_S = 20
# what the node's part runs: the program, and all of this collection that it imports


class Transfer:
    """The node's part in the transfer into one folder."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.given = module, module.params
        self.root = Path(self.given["path"])
        self.unit = request.transfer_id(str(self.root))
        self.folder = Path(request.RUN) / self.unit
        self.progress = Path(request.RUN) / f"{self.unit}.json"

    def inspected(self) -> dict[str, Any]:
        copy = folder.look(self.root)
        sizes = folder.sizes(self.root)
        ready, why_not = copy.ready, copy.why_not
        if copy.manifest and ready and (wrong := manifest.wrong_sizes(copy.manifest["files"], sizes)):
            ready, why_not = False, "; ".join(manifest.describe(one) for one in wrong[:3])
        partial = [one for one in (self.root / manifest.PARTIAL).rglob("*") if one.is_file()]
        existing = next(one for one in (self.root, *self.root.parents) if one.exists())
        return {
            "ready": ready,
            "why_not": why_not,
            "digest": copy.digest,
            "manifest": copy.manifest if ready else None,
            "sizes": sizes,
            "partial_bytes": sum(one.stat().st_blocks * 512 for one in partial),
            "free_bytes": shutil.disk_usage(existing).free,
            "address": self.given["address"],
            "port": self.given["port"] or self._free_port(),
            "link_gbps": links.interface_gbps(self.given["interface"]),
        }

    def _free_port(self) -> int:
        """One that nothing listens on now; 0 where nothing can."""
        address = self.given["address"]
        if not address:
            return 0
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, 0))
                return int(probe.getsockname()[1])
        except OSError as error:
            why = "no interface of this node has it" if error.errno == errno.EADDRNOTAVAIL else str(error)
            self.module.fail_json(msg=f"model_distribute_address: {address}: {why}")
        raise AssertionError

    def started(self) -> dict[str, Any]:
        part = self.given["part"]
        if part["rsh"] and part["upstreams"]:
            self._reach(part["rsh"], part["upstreams"][0])
        self._replace(part["deployment"])
        self.root.mkdir(parents=True, exist_ok=True)
        self._write_program()
        config = self.folder / "config.json"
        config.touch(mode=0o600)
        told = {name: part[name] for name in part if name not in ("deployment", "timeout")}
        told.update(token=self.given["token"], root=str(self.root), progress=str(self.progress))
        config.write_text(json.dumps(told), encoding="utf-8")
        (self.folder / "deployment").write_text(part["deployment"], encoding="utf-8")
        command = request.transient_unit(self.unit, str(self.folder), str(self.root), sys.executable, part["timeout"])
        code, _unused, error = self.module.run_command(command)
        if code:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.module.fail_json(msg=f"the transfer could not be started: {error.strip()}")
        return self._first_word()

    def _reach(self, rsh: str, other: dict[str, Any]) -> None:
        """Log in once to the node before: what stands against it is said before anything is changed."""
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
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for path, text in payload.files(peer, request.PACKAGE).items():
            files.write(self.folder / path, text, 0o600)

    def _first_word(self) -> dict[str, Any]:
        """Wait until it listens, or has said why it cannot."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            found = self.running()
            state = found.get("progress", {}).get("state")
            if state == "failed":
                self.module.fail_json(msg=found["progress"]["message"])
            if state:
                return found
            if not found["active"]:
                break
            time.sleep(0.1)
        self.module.fail_json(msg=f"the transfer did not start; see journalctl -u {self.unit}")
        raise AssertionError

    def running(self) -> dict[str, Any]:
        found: dict[str, Any] = {"active": self._active()}
        if self.progress.exists():
            found["progress"] = json.loads(self.progress.read_text(encoding="utf-8"))
        return found

    def _active(self) -> bool:
        return bool(
            systemd_state.state(self.module.run_command, f"{self.unit}.service")["active"] in ("active", "activating")
        )

    def stopped(self) -> dict[str, Any]:
        self.module.run_command(["systemctl", "stop", f"{self.unit}.service"])  # which there may be none of
        shutil.rmtree(self.folder, ignore_errors=True)
        self.progress.unlink(missing_ok=True)
        return {}


def main() -> None:
    module = AnsibleModule(argument_spec=request.OPTIONS_ON_THE_NODE, supports_check_mode=True)
    transfer = Transfer(module)
    module.exit_json(changed=False, **getattr(transfer, module.params["state"])())


if __name__ == "__main__":
    main()
