#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a folder of weights is what its manifest lists."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_verify
version_added: 0.1.0
short_description: Compare a folder of weights with its manifest
description:
  - Checks whether a copy is ready for an engine, and names each file that differs from the manifest.
  - C(READY) is taken away from a copy in which a file is wrong, and given to one whose contents were found right.
options:
  path:
    description: Folder of the weights.
    type: path
    required: true
  depth:
    description:
      - V(sizes) checks that C(READY) belongs to the manifest, and compares the sizes. Takes milliseconds; meant for every start.
      - V(contents) reads every byte. Several files at a time.
    type: str
    choices: [sizes, contents]
    default: contents
  manifest_sha256:
    description: The sha256 of the manifest that the copy must have, so that all ranks serve the same weights. Any when empty.
    type: str
    default: ""
  required:
    description: Fail when the copy is not ready.
    type: bool
    default: true
  threads:
    description: Files that are read at a time. As many as there are processors, at most 16, when 0.
    type: int
    default: 0
attributes:
  check_mode:
    description: Compares as always, and leaves C(READY) alone.
    support: full
  diff_mode:
    description: RV(problems) lists what differs.
    support: none
  idempotent:
    description: A second call changes nothing.
    support: full
seealso:
  - module: fullrank.serving.model_info
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Read every byte of the weights
  fullrank.serving.model_verify:
    path: /data/models/deepseek-r1

- name: Refuse a copy that is not the one of the other ranks
  fullrank.serving.model_verify:
    path: /data/models/deepseek-r1
    depth: sizes
    manifest_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

RETURN = r"""
ready:
  description: Whether an engine may be started from this copy.
  returned: always
  type: bool
why_not:
  description: In words; empty when it is ready.
  returned: always
  type: str
problems:
  description: Each file that is wrong - path, problem (C(missing), C(size), C(sha256) or C(unreadable)), expected and found.
  returned: always
  type: list
  elements: dict
manifest_sha256:
  description: The sha256 of the manifest; empty without one. Equal on all ranks that hold the same weights.
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
bytes:
  description: What the manifest lists, together.
  returned: always
  type: int
seconds:
  description: How long it took.
  returned: always
  type: float
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "depth": {"type": "str", "choices": ["sizes", "contents"], "default": "contents"},
            "manifest_sha256": {"type": "str", "default": ""},
            "required": {"type": "bool", "default": True},
            "threads": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    root = Path(params["path"])
    by_contents = params["depth"] == "contents"
    started = time.monotonic()
    copy = folder.look(root)
    files = copy.manifest["files"] if copy.manifest else []
    problems = folder.verify(root, files, quick=not by_contents, threads=params["threads"])
    changed = False
    if problems and copy.ready:
        changed = True
        if not module.check_mode:
            folder.unready(root)
    if copy.manifest and by_contents and not problems and not copy.ready:
        changed = True
        if not module.check_mode:
            folder.mark_ready(root)
    why_not = folder.why_not_ready(copy, problems, params["manifest_sha256"], by_contents)
    result = {
        "changed": changed,
        "ready": not why_not,
        "why_not": why_not,
        "problems": problems,
        "manifest_sha256": copy.digest,
        "source": copy.manifest["source"] if copy.manifest else {},
        "conversion": (copy.manifest["conversion"] or {}) if copy.manifest else {},
        "bytes": manifest.total_bytes(copy.manifest) if copy.manifest else 0,
        "seconds": round(time.monotonic() - started, 1),
    }
    if why_not and params["required"]:
        module.fail_json(msg=f"{root} is not ready: {why_not}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
