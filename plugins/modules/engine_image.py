#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine's image on a node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_image
version_added: 0.1.0
short_description: Have the image of an engine on a node
description:
  - Pulls the image, or loads it from an archive, when the container runtime does not have it. One that is there is left alone.
  - Reports the image's id, so that the ranks of a deployment can be compared.
options:
  image:
    description: The image, by digest or with its tag.
    type: str
    required: true
  runtime:
    description: The program that runs the containers.
    type: str
    choices: [docker, podman, nerdctl]
    default: docker
  archive:
    description:
      - File on the node with the image, as C(docker save) writes it. Loaded instead of pulling, for nodes without a registry.
      - An archive holds tags but no digests, so O(image) must be the tag.
    type: path
attributes:
  check_mode:
    description: Returns whether the image would be pulled or loaded.
    support: full
  diff_mode:
    description: An image has no text.
    support: none
requirements:
  - the runtime, and that its daemon runs
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Have the image before anything is stopped
  fullrank.serving.engine_image:
    image: lmsysorg/sglang:v0.5.23
"""

RETURN = r"""
image_id:
  description: Id of the image; the same content has the same id on every node with the same kind of store.
  returned: the image is there
  type: str
  sample: sha256:0f4bd9fb7a3a6bcb3d8f7a7b2d7b6a2b6b0a6f0a6d1f4a5e3c2d1b0a99887766
digests:
  description: The digests by which registries know it; none for an image that was loaded.
  returned: the image is there
  type: list
  elements: str
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

_LINES = 5  # of the runtime's output, in a message


def found(module: AnsibleModule, program: str) -> dict[str, Any]:
    """What the runtime knows of the image; empty when it does not have it."""
    code, output, error = module.run_command([program, "image", "inspect", module.params["image"]])
    if code == 0 and (images := json.loads(output)):
        return dict(images[0])
    if "daemon" in error and "No such image" not in error:
        module.fail_json(msg=f"{module.params['runtime']} does not answer: {error.strip()}")
    return {}


def bring(module: AnsibleModule, program: str) -> None:
    """Load or pull the image; fails with the runtime's own last words."""
    image, archive = module.params["image"], module.params["archive"]
    if archive and not Path(archive).exists():
        module.fail_json(
            msg=f"there is no {archive} on this node; put the archive there, or leave it out to pull {image}"
        )
    words = ["load", "--input", archive] if archive else ["pull", image]
    code, output, error = module.run_command([program, *words])
    if code:
        last = "\n".join((error or output).strip().splitlines()[-_LINES:])
        module.fail_json(msg=f"{image}: {module.params['runtime']} {' '.join(words)} failed: {last}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "runtime": {"type": "str", "choices": ["docker", "podman", "nerdctl"], "default": "docker"},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    program = module.get_bin_path(params["runtime"])
    if not program:
        module.fail_json(
            msg=f"{params['runtime']} is not installed on this node; install it, or choose another engine_runtime"
        )
    image = found(module, program)
    changed = not image
    if changed and not module.check_mode:
        bring(module, program)
        image = found(module, program)
        if not image:
            module.fail_json(
                msg=f"{params['archive']} does not hold {params['image']}: write the tag that it was saved with"
            )
    known = {"image_id": image["Id"], "digests": image.get("RepoDigests") or []} if image else {}
    module.exit_json(changed=changed, **known)


if __name__ == "__main__":
    main()
