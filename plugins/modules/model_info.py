#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a folder of weights; read only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_info
version_added: 0.1.0
short_description: The state of a folder of weights
description:
  - Whether the folder holds a verified copy, where the weights come from, and the C(config.json) and sizes that
    P(fullrank.serving.memory_fit#filter) needs. Files are not read; M(fullrank.serving.model_verify) does that.
  - A folder that is missing or empty gives empty results, no error.
options:
  path:
    description: Folder of the weights.
    type: path
    required: true
  listing:
    description: Return RV(manifest), RV(sizes) and the space, which M(fullrank.serving.model_distribute) needs of every node.
    type: bool
    default: false
  address:
    description: This node's address on the network between the ranks, for RV(port).
    type: str
    default: ""
  interface:
    description: Its interface, for RV(link_gbps).
    type: str
    default: ""
  port:
    description: TCP port of a transfer on O(address). V(0) chooses one that is free.
    type: int
    default: 0
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.model_verify
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read the state of the weights
  fullrank.serving.model_info:
    path: /srv/models/deepseek-r1
  register: model
"""

RETURN = r"""
config:
  description: Content of C(config.json); empty when there is none, or when it is no JSON object.
  returned: always
  type: dict
pooling:
  description: Whether C(modules.json) has a pooling layer, as Sentence Transformers writes it for a model that embeds.
  returned: always
  type: bool
files:
  description: The C(*.safetensors) files in the folder, each with C(path) (relative to it) and C(size) in bytes.
  returned: always
  type: list
  elements: dict
ready:
  description: Whether the copy is verified, by its C(READY) and the sizes of its files.
  returned: always
  type: bool
why_not:
  description: Why it is not ready, in words.
  returned: always
  type: str
manifest_sha256:
  description: The sha256 of the manifest; empty without one. Equal on all nodes that hold the same weights.
  returned: always
  type: str
source:
  description: Where the weights come from - hub, repo and revision; empty without a manifest.
  returned: always
  type: dict
conversion:
  description: What was done to the files since they came from there; empty for nothing.
  returned: always
  type: dict
manifest:
  description: The manifest of a copy that is ready.
  returned: with O(listing=true)
  type: dict
sizes:
  description: Path and bytes of the files that are in their place.
  returned: with O(listing=true)
  type: dict
partial_bytes:
  description: Bytes that unfinished files of earlier transfers take on the disk.
  returned: with O(listing=true)
  type: int
free_bytes:
  description: Bytes that are free where the folder is, or will be.
  returned: with O(listing=true)
  type: int
address:
  description: As given.
  returned: with O(listing=true)
  type: str
port:
  description: The port, given or free; 0 without O(address).
  returned: with O(listing=true)
  type: int
link_gbps:
  description: Rate of the link in Gbit/s. 0 when unknown.
  returned: with O(listing=true)
  type: float
"""

import errno
import json
import shutil
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.node import links
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest


def read_config(root: Path) -> dict[str, Any]:
    try:
        config = json.loads((root / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def pools(root: Path) -> bool:
    """By the types of its modules, such as ``sentence_transformers.models.Pooling``."""
    try:
        modules = json.loads((root / "modules.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    types = [str(one.get("type")) for one in modules if isinstance(one, dict)] if isinstance(modules, list) else []
    return any(one.rpartition(".")[2].endswith("Pooling") for one in types)


def shards(root: Path) -> list[dict[str, Any]]:
    return [{"path": file.name, "size": file.stat().st_size} for file in sorted(root.glob("*.safetensors"))]


def space(root: Path) -> dict[str, int]:
    """partial_bytes and free_bytes."""
    partial = [one for one in (root / manifest.PARTIAL).rglob("*") if one.is_file()]
    existing = next(one for one in (root, *root.parents) if one.exists())
    return {
        "partial_bytes": sum(one.stat().st_blocks * 512 for one in partial),
        "free_bytes": shutil.disk_usage(existing).free,
    }


def free_port(address: str) -> int:
    """One that nothing listens on now; 0 without an address. Raises OSError for an address that is not this node's."""
    if not address:
        return 0
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "listing": {"type": "bool", "default": False},
            "address": {"type": "str", "default": ""},
            "interface": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    root = Path(params["path"])
    copy = folder.look(root)
    found = folder.sizes(root)
    listed = copy.manifest or {"files": [], "source": {}, "conversion": None}
    why_not = folder.why_not_ready(copy, manifest.wrong_sizes(listed["files"], found))
    result: dict[str, Any] = {
        "config": read_config(root),
        "pooling": pools(root),
        "files": shards(root),
        "ready": not why_not,
        "why_not": why_not,
        "manifest_sha256": copy.digest,
        "source": listed["source"],
        "conversion": listed["conversion"] or {},
    }
    if params["listing"]:
        try:
            port = params["port"] or free_port(params["address"])
        except OSError as error:
            why = "no interface of this node has it" if error.errno == errno.EADDRNOTAVAIL else str(error)
            module.fail_json(msg=f"address {params['address']}: {why}", **result)
        result |= {
            "manifest": None if why_not else copy.manifest,
            "sizes": found,
            "address": params["address"],
            "port": port,
            "link_gbps": links.interface_gbps(params["interface"]),
            **space(root),
        }
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
