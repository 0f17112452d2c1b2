#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes weights that no unit uses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_remove
version_added: 0.1.0
short_description: Remove a copy of weights, or the old revisions beside it
description:
  - Removes only folders that hold a manifest or the beginnings of a fetch, so that a mistyped path costs nothing.
  - Never removes what a unit of ours uses - a rank's C(fullrank-rank@DEPLOYMENT.service) that names the folder, running or not,
    or a fetch that runs.
options:
  path:
    description: The folder to remove. It fails when the folder is in use. A fetch that runs into it must be stopped before.
    type: path
  below:
    description: A folder that holds copies of weights. Those of O(repo) are removed, without O(keep) and without those in use.
    type: path
  repo:
    description: The model whose old revisions go, as the manifests name it. Required with O(below).
    type: str
  keep:
    description: Folders to keep.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Predicts what would be removed.
    support: full
  diff_mode:
    description: RV(removed) lists what went.
    support: none
  idempotent:
    description: A second call changes nothing.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Keep the revision that is served, remove the others
  fullrank.serving.model_remove:
    below: /data/models
    repo: deepseek-ai/DeepSeek-R1
    keep: [/data/models/deepseek-r1-56d4cbb]
"""

RETURN = r"""
removed:
  description: Folders that went.
  returned: always
  type: list
  elements: str
in_use:
  description: Folders that stayed because a unit uses them, with its name.
  returned: always
  type: dict
freed_bytes:
  description: What the manifests of the removed ones listed.
  returned: always
  type: int
"""

import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names, state, transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import usage
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan


def unit_texts() -> dict[str, str]:
    found = (file for one in state.engine_units() for file in Path(names.UNITS).glob(one))
    return {file.name: file.read_text() for file in found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "below": {"type": "path"},
            "repo": {"type": "str"},
            "keep": {"type": "list", "elements": "path", "default": []},
        },
        required_one_of=[("path", "below")],
        mutually_exclusive=[("path", "below")],
        required_by={"below": ("repo",)},
        supports_check_mode=True,
    )
    params = module.params
    if params["path"]:
        there = (Path(params["path"]) / weights_manifest.FOLDER).is_dir()
        if Path(params["path"]).exists() and not there:
            module.fail_json(
                msg=f"{params['path']} holds no {weights_manifest.FOLDER}: it is not a copy of weights that we made"
            )
        going = [params["path"]] if there else []
    else:
        copies = {
            str(folder.parent): weights_folder.look(folder.parent)
            for folder in Path(params["below"]).glob(f"*/{weights_manifest.FOLDER}")
        }
        sources = {path: copy.manifest["source"] for path, copy in copies.items() if copy.manifest}
        going = usage.old_revisions(sources, params["repo"], params["keep"])
    units = unit_texts()
    in_use = {}
    for path in going:
        users = sorted({one for name in (path, str(Path(path).resolve())) for one in usage.users(name, units)})
        fetch = plan.unit_name(path)
        if transient.runs(module.run_command, fetch):
            users.append(fetch)
        if users:
            in_use[path] = ", ".join(users)
    if params["path"] and in_use:
        module.fail_json(msg=f"{params['path']} is in use by {in_use[params['path']]}", removed=[], in_use=in_use)
    removed = [path for path in going if path not in in_use]
    freed = 0
    for path in removed:
        manifest = weights_folder.look(Path(path)).manifest
        freed += weights_manifest.total_bytes(manifest) if manifest else 0
        if not module.check_mode:
            weights_folder.unready(Path(path))  # first: half a copy must not look like one
            shutil.rmtree(path)
    module.exit_json(changed=bool(removed), removed=removed, in_use=in_use, freed_bytes=freed)


if __name__ == "__main__":
    main()
