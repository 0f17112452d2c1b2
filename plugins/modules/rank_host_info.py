#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rank must know about its own node before it can be started; read only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank_host_info
version_added: 0.1.0
short_description: What a rank must know about its own node before it can be started
description:
  - Finds the rendezvous interface, the device by which this node reaches the other ranks, and this node's address on it.
  - Reports who listens on the ports that the rank will need, and which of the files it will need are missing.
  - Facts only; M(fullrank.serving.rendezvous) judges those of all ranks together.
options:
  peers:
    description: Addresses or names of the other ranks, as they are reached today. Empty for a deployment of one rank.
    type: list
    elements: str
    required: true
  network:
    description:
      - Network of the rendezvous in CIDR notation, where it is not the one that leads to O(peers).
      - This node's address inside it is taken.
    type: str
  ports:
    description: TCP ports that the rank will listen on.
    type: list
    elements: int
    default: []
  paths:
    description: Files and folders that must be there when the rank starts.
    type: list
    elements: path
    default: []
  weights:
    description: Folder of the weights, whose shards are looked at (RV(incomplete)); for weights that have no manifest.
    type: path
  serves_at:
    description: Address on which the rank will serve, for RV(serves_here); empty for none.
    type: str
    default: ""
  venv:
    description: Virtual environment of the engine, whose Starlette is looked for (RV(starlette)).
    type: path
  deployment:
    description: Deployment whose supervisors' key RV(group_key_digest) is about.
    type: str
extends_documentation_fragment:
  - fullrank.serving.attributes
requirements:
  - iproute2 on the node
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Ask the node what its rank needs to know
  fullrank.serving.rank_host_info:
    peers: [192.0.2.11, 192.0.2.12]
    ports: [8000, 29501]
    paths: [/srv/models/deepseek-r1/config.json]
  register: facts
"""

RETURN = r"""
candidates:
  description: >-
    The interface and address towards each of O(peers), or those inside O(network), without repetitions. More than one
    means that this node cannot tell which of them is the rendezvous interface.
  returned: always
  type: list
  elements: dict
  sample: [{"interface": "eth0", "address": "192.0.2.10"}]
without_route:
  description: Those of O(peers) to which this node has no route.
  returned: always
  type: list
  elements: str
listeners:
  description: Who listens on O(ports) - port, pid, command and systemd unit.
  returned: always
  type: list
  elements: dict
  sample: [{"port": 8000, "pid": 4711, "command": "python3 -m http.server", "unit": "web.service"}]
missing:
  description: Those of O(paths) that do not exist.
  returned: always
  type: list
  elements: str
incomplete:
  description: >-
    Shards in O(weights) that no engine could load - those of C(model.safetensors.index.json) that are not there, and those
    that are shorter or longer than their own header states.
  returned: always
  type: list
  elements: str
  sample: [model-00017-of-000163.safetensors]
serves_here:
  description: Whether O(serves_at) is an address of this node; true when it is empty.
  returned: always
  type: bool
starlette:
  description: Version of Starlette in O(venv); empty when there is none.
  returned: always
  type: str
  sample: 1.0.1
routers:
  description: Deployments whose router (M(fullrank.serving.router)) has a unit on this node.
  returned: always
  type: list
  elements: str
group_key_digest:
  description: >-
    Tells whether ranks share the key with which their supervisors sign, without telling the key - the beginning of its
    SHA-256. Empty where there is none yet.
  returned: always
  type: str
"""

import hashlib
import socket
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node import ip_routes, listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import engine
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import files as supervisor_files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state
from ansible_collections.fullrank.serving.plugins.module_utils.weights import shards


def resolve(name: str) -> str:
    """The address of ``name`` as this node resolves it; an address is itself. Empty when the name is unknown here."""
    try:
        return str(socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)[0][4][0])
    except OSError:
        return ""


def is_here(address: str) -> bool:
    """Whether something can listen on ``address`` of this node: tried with a port that the kernel chooses."""
    try:
        family, kind, *_unused, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.bind(place)
    except OSError:
        return False
    return True


def key_digest(deployment: str) -> str:
    """The beginning of the SHA-256 of the supervisors' key; it is long and random, so it cannot be found by trial."""
    try:
        key = supervisor_files.group_key(deployment)
    except (ValueError, KeyError):
        return ""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "peers": {"type": "list", "elements": "str", "required": True},
            "network": {"type": "str"},
            "ports": {"type": "list", "elements": "int", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "weights": {"type": "path"},
            "serves_at": {"type": "str", "default": ""},
            "venv": {"type": "path"},
            "deployment": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    ip = module.get_bin_path("ip", required=True)
    found: list[dict[str, str]] = []
    without_route: list[str] = []
    for peer in params["peers"]:
        _unused, output, _unused = module.run_command([ip, "-json", "route", "get", resolve(peer) or peer])
        route = ip_routes.route(output)
        if route:
            found.append(route)
        else:
            without_route.append(peer)
    if params["network"]:
        _unused, output, _unused = module.run_command([ip, "-json", "address", "show"], check_rc=True)
        try:
            found = ip_routes.within(output, params["network"])
        except ValueError as error:
            module.fail_json(msg=f"network: {error}; write it in CIDR notation, e.g. 10.0.0.0/24")
    module.exit_json(
        changed=False,
        candidates=[dict(pair) for pair in sorted({tuple(sorted(route.items())) for route in found})],
        without_route=without_route,
        listeners=listeners.holders(Host(), params["ports"]),
        missing=[path for path in params["paths"] if not Path(path).exists()],
        incomplete=shards.not_whole(Path(params["weights"])) if params["weights"] else [],
        serves_here=not params["serves_at"] or is_here(params["serves_at"]),
        starlette=engine.installed_versions(Host(), params["venv"], ("starlette",)).get("starlette", ""),
        routers=systemd_state.routers(),
        group_key_digest=key_digest(params["deployment"]) if params["deployment"] else "",
    )


if __name__ == "__main__":
    main()
