#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An FP8 model's folder as BF16: the part of one node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_convert
version_added: 0.1.0
short_description: Convert the FP8 weights of a model to BF16
description:
  - Makes a second folder from the folder of an FP8 checkpoint, with the same model in BF16, for GPUs that do not compute FP8.
  - Converts FP8 e4m3 with scales of blocks, channels or tensors (DeepSeek and Qwen, AutoFP8, compressed-tensors, FBGEMM,
    ModelOpt). Everything else is refused by name. Weights of the result are the exact products, rounded once.
  - A shard at a time, streamed. What was converted by an interrupted run is kept; only the rest is done. The source is
    compared with its manifest while it is read, the result gets a manifest and C(READY).
  - The work is done by a transient systemd unit, or a container, which can write to O(path) only and has no network, as the
    owner of O(path), or as the account C(fullrank-weights) where that is root. When Ansible is interrupted it goes on, and the
    next run joins it.
  - Several nodes can share the work where all see both folders. Each takes its share of the shards, and when all have ended
    one of them, with O(finish), makes the model complete.
options:
  source:
    description: Folder of the FP8 checkpoint, with manifest and C(READY).
    type: path
    required: true
  path:
    description: Folder of the BF16 checkpoint.
    type: path
    required: true
  when:
    description:
      - V(auto) converts when one of O(capabilities) is below 8.9 and the checkpoint is FP8.
      - V(always) converts whatever the GPUs are, and fails for a checkpoint that cannot be converted.
    type: str
    choices: [auto, always]
    default: auto
  capabilities:
    description: Compute capabilities of all GPUs that will serve the model, such as V(8.0).
    type: list
    elements: str
    default: []
  rank:
    description: Which share of the shards this node converts.
    type: int
    default: 0
  nranks:
    description: Number of nodes that share the work.
    type: int
    default: 1
  finish:
    description: Write index, configuration and manifest when all shards are there. The other nodes must have ended.
    type: bool
    default: true
  python:
    description:
      - Interpreter with PyTorch and safetensors, for example that of the engine's environment. With O(image), its name there.
    type: str
    required: true
  image:
    description: Image that has O(python), for example the engine's. Without one, the node itself has it.
    type: str
    default: ""
  runtime:
    description: What runs the container.
    type: str
    choices: [docker, podman, nerdctl]
    default: docker
  container_args:
    description: Further words for O(runtime).
    type: list
    elements: str
    default: []
  device:
    description:
      - What computes. V(auto) takes a GPU where there is one. A container sees the GPUs, by their CDI names, with V(cuda) only.
    type: str
    choices: [auto, cpu, cuda]
    default: auto
  threads:
    description: Shards that are converted at the same time. One more than there are processors, at most 16, when 0.
    type: int
    default: 0
  timeout:
    description: Seconds after which the conversion is ended. Whole shards are kept, and the next run converts the rest only.
    type: int
    default: 86400
  start:
    description: Private, unset by the action plugin when it looks again. Start the conversion where none runs.
    type: bool
    default: true
attributes:
  check_mode:
    description: Reads, checks and converts nothing.
    support: full
  diff_mode:
    description: Weights are no text.
    support: none
  action:
    description: Watches from the controller, and shows the progress.
    support: full
requirements:
  - systemd 248 or newer
  - Python 3.9 or newer with PyTorch 2.1 or newer (2.7 for scales in E8M0), numpy and safetensors at O(python)
  - with O(image), its O(runtime)
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: DeepSeek-R1 for GPUs of compute capability 8.0
  fullrank.serving.model_convert:
    source: /srv/models/deepseek-r1
    path: /srv/models/deepseek-r1-bf16
    capabilities: ["8.0"]
    python: /opt/fullrank/venv/bin/python

- name: The same, where the engine comes in an image
  fullrank.serving.model_convert:
    source: /srv/models/deepseek-r1
    path: /srv/models/deepseek-r1-bf16
    capabilities: ["8.0"]
    image: vllm/vllm-openai:v0.11.0
    python: python3
"""

RETURN = r"""
needed:
  description: Whether the model is wanted in BF16.
  returned: always
  type: bool
why:
  description: The reason, in words.
  returned: always
  type: str
converted:
  description: Shards that this call converted, or in check mode would convert.
  returned: when needed
  type: list
  elements: str
bytes:
  description: Their size, converted.
  returned: when needed
  type: int
seconds:
  description: How long this node was busy with it.
  returned: outside of check mode
  type: float
digest:
  description: The sha256 of the new manifest; empty while it is not there.
  returned: when needed
  type: str
dropped:
  description: Number of tensors that have no meaning in BF16 (scales).
  returned: when needed
  type: int
left_out:
  description: Files of the source that were not taken along, since they are the same weights in another form.
  returned: when finished by this call
  type: list
  elements: str
running:
  description: The conversion has not ended. Seen by the action plugin only.
  returned: while converting
  type: bool
progress:
  description: Phase, bytes, total, files_done and files. Seen by the action plugin only.
  returned: while converting
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, worker_user
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import (
    conversion,
    fp8_checkpoint,
    worker,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert.fp8_checkpoint import CannotConvert


class Conversion:
    """One call: what is wanted, what is there, and the unit that does the rest."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.source, self.target = Path(self.params["source"]), Path(self.params["path"])
        self.unit = conversion.unit_name(str(self.target))
        self.folder = self.target / conversion.WORK

    def run(self) -> dict[str, Any]:
        """The module's result. Raises ``CannotConvert``."""
        if self._runs():
            return self._running()
        if self.module.check_mode and not folder.look(self.source).ready:
            why = "the source is not there yet"
            return {"changed": True, "needed": True, "why": why, "converted": [], "bytes": 0, "digest": ""}
        config, modelopt = conversion.read_config(self.source)
        if self.params["when"] == "auto":
            needed, why = fp8_checkpoint.needed(config, modelopt, self.params["capabilities"])
        else:
            needed, why = True, "when: always"
        if not needed:
            return {"changed": False, "needed": False, "why": why}
        scheme = fp8_checkpoint.scheme(config, modelopt)
        if scheme is None:
            return {"changed": False, "needed": False, "why": "the checkpoint is not quantized"}
        return {"needed": True, "why": why, **self._convert(conversion.look(self.source, scheme))}

    def _convert(self, work: conversion.Work) -> dict[str, Any]:
        done = conversion.done(work, self.target)
        todo = [shard for shard in work.shards if shard["path"] not in done]
        own = self._own(work, done)
        result: dict[str, Any] = {"dropped": len(work.dropped), "converted": [shard["path"] for shard in own]}
        result |= {"bytes": sum(shard["size"] for shard in own), "changed": bool(own), "digest": ""}
        copy = folder.look(self.target)
        if not todo and copy.ready and copy.manifest and copy.manifest["conversion"] == work.conversion:
            return {**result, "digest": copy.digest}
        if own and self.params["start"]:
            try:
                worker_user.refuse_foreign(self.target)
            except worker_user.NotOurs as error:
                raise CannotConvert(error.why, error.remedy) from None
            self._precheck(todo)
            if self.module.check_mode:
                return result
            folder.unready(self.target)
            self._start(work, own)
            return {**result, **self._running()}
        if self._own(work, done):
            raise CannotConvert(self._why_ended(), "what was converted is kept; remove the cause and run it again")
        if not self.params["finish"]:
            return result
        if missing := [shard["path"] for shard in work.shards if shard["path"] not in done]:
            raise CannotConvert(
                f"not yet converted: {', '.join(missing)}", "run it on the other nodes that share the work first"
            )
        if self.module.check_mode:
            return {**result, "changed": True}
        digest, left = conversion.finish(work, self.target, done)
        return {**result, "changed": True, "digest": digest, "left_out": left}

    def _own(self, work: conversion.Work, done: dict[str, Any]) -> list[dict[str, Any]]:
        """What this node has to convert, of its share."""
        mine = set(conversion.share(work, self.params["rank"], self.params["nranks"]))
        return [shard for shard in work.shards if shard["path"] in mine and shard["path"] not in done]

    def _precheck(self, todo: list[dict[str, Any]]) -> None:
        if lacking := conversion.lacking_space(self.target, todo):
            raise CannotConvert(lacking, "make room, or set path to a larger disk")
        if not self.params["image"] and not Path(self.params["python"]).exists():
            raise CannotConvert(
                f"{self.params['python']} is not there", "give python an interpreter with PyTorch and safetensors"
            )

    def _start(self, work: conversion.Work, own: list[dict[str, Any]]) -> None:
        params = self.params
        image = None
        if params["image"]:
            runtime = self.module.get_bin_path(params["runtime"], required=True)
            image = conversion.Image(params["image"], runtime, params["container_args"], params["device"] == "cuda")
        options = {name: params[name] for name in ("rank", "device", "threads")}
        conversion.write_job(work, self.target, own, payload.text(worker), **options)
        interpreter = [] if image else [params["python"]]
        user = worker_user.hand_over(self.target, [*interpreter, *conversion.source_files(work)])
        if user.why_root:
            self.module.warn(f"the conversion in {self.target} runs as root: {user.why_root}")
        unit = conversion.unit(work, self.target, params, user, image)
        self.module.run_command(transient.start_command(unit), check_rc=True)

    def _running(self) -> dict[str, Any]:
        progress = conversion.progress(self.folder, self.params["rank"])
        return {"running": True, "changed": True, "progress": progress}

    def _runs(self) -> bool:
        return transient.runs(self.module.run_command, self.unit)

    def _why_ended(self) -> str:
        error = conversion.error(self.folder, self.params["rank"])
        return error or f"the conversion was ended from outside: journalctl -u {self.unit}"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "when": {"type": "str", "choices": ["auto", "always"], "default": "auto"},
            "capabilities": {"type": "list", "elements": "str", "default": []},
            "rank": {"type": "int", "default": 0},
            "nranks": {"type": "int", "default": 1},
            "finish": {"type": "bool", "default": True},
            "python": {"type": "str", "required": True},
            "image": {"type": "str", "default": ""},
            "runtime": {"type": "str", "choices": ["docker", "podman", "nerdctl"], "default": "docker"},
            "container_args": {"type": "list", "elements": "str", "default": []},
            "device": {"type": "str", "choices": ["auto", "cpu", "cuda"], "default": "auto"},
            "threads": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 86400},
            "start": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**Conversion(module).run())
    except CannotConvert as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
