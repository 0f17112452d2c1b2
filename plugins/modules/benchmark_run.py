#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures an endpoint with an engine's own benchmark client, on the node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark_run
version_added: 0.1.0
short_description: Measure an endpoint by an engine's own benchmark client
description:
  - Sends the same prompts at one level of concurrency after the other, several times each, by C(vllm bench serve) or
    C(sglang.bench_serving) out of the environment or the running container of an engine. Nothing is installed.
  - Prints a line after each of them.
  - The endpoint may belong to another engine than the client. Numbers of the two clients are counted in slightly different
    ways; compare engines with one client.
options:
  deployment:
    description: Name of the deployment, for the messages.
    type: str
    required: true
  client:
    description: Whose client.
    type: str
    choices: [vllm, sglang]
    required: true
  venv:
    description: The environment that holds the client.
    type: path
  container:
    description: The running container that holds the client, instead of O(venv).
    type: str
  runtime:
    description: What O(container) runs in.
    type: str
    choices: [docker, podman, nerdctl]
    default: docker
  task:
    description: What is measured. With V(embed) each prompt is a text to embed, by vLLM's client.
    type: str
    choices: [generate, embed]
    default: generate
  url:
    description: The endpoint as the node reaches it, without C(/v1).
    type: str
    required: true
  model:
    description: Name of the model as the endpoint serves it.
    type: str
    required: true
  tokenizer:
    description: Folder of the model's tokenizer, as O(venv) or O(container) sees it.
    type: str
    required: true
  api_key:
    description: Key of the endpoint. Reaches the client by its environment.
    type: str
  prompts:
    description:
      - What is sent. Begins again where a run has more requests than there are prompts.
      - When empty, words are put together that are the same for every engine and different in every run, so that no cache of
        prefixes answers.
    type: list
    elements: str
    default: []
  prompt_words:
    description: Words of each prompt, where O(prompts) is empty.
    type: int
    default: 256
  concurrency:
    description: Levels, each a number of requests that are answered at the same time.
    type: list
    elements: int
    required: true
  requests:
    description: Requests of one run at each level.
    type: int
    required: true
  repeats:
    description: Runs at each level.
    type: int
    default: 1
  output_tokens:
    description: Tokens of each answer.
    type: int
    default: 128
  warmups:
    description: Requests before each run that do not count.
    type: int
    default: 1
  seed:
    description: Seed of the first run; each further run adds one.
    type: int
    default: 0
  timeout:
    description: Seconds after which a run is ended.
    type: int
    default: 1800
attributes:
  check_mode:
    description: Sends nothing.
    support: none
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
  action:
    description: The levels are counted on the controller, which prints a line after each run.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Measure a deployment on its head
  fullrank.serving.benchmark_run:
    deployment: deepseek_r1
    client: sglang
    venv: /opt/sglang
    url: http://127.0.0.1:30000
    model: deepseek-r1
    tokenizer: /data/deepseek-r1
    concurrency: [1, 8, 32]
    requests: 64
    repeats: 3
"""

RETURN = r"""
runs:
  description: >-
    One for each run - concurrency, seed, requests, completed, failed, seconds, input_tokens, output_tokens, output_tokens_per_s,
    requests_per_s, and ttft_ms, itl_ms, tpot_ms with median, mean and p99 in milliseconds. Of embeddings, in place of what is
    about tokens of answers, texts_per_s and latency_ms.
  returned: always
  type: list
  elements: dict
"""

import itertools
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import bench_clients


class Place:
    """Where the client runs: this node, or a container on it. Files get there and come back by the same words."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        params = module.params
        self.enter = [params["runtime"], "exec", "--interactive"] if params["container"] else []
        self.container = [params["container"]] if params["container"] else []
        self.key = params["api_key"]

    def run(self, argv: list[str], data: str | None = None) -> tuple[int, str, str]:
        """Run a command there; rc, output, errors. A container's command line has names of variables, not values."""
        # a client may take the model's name for one of a hub, and would ask there first
        environment = {"HF_HUB_OFFLINE": "1"} | ({"OPENAI_API_KEY": self.key} if self.key else {})
        named = [word for name in environment for word in ("--env", name)] if self.enter else []
        done: tuple[int, str, str] = self.module.run_command(
            [*self.enter, *named, *self.container, *argv], data=data, environ_update=environment
        )
        return done

    def folder(self) -> str:
        rc, out, err = self.run(["mktemp", "--directory", "/tmp/fullrank-benchmark.XXXXXX"])
        if rc:
            self.module.fail_json(
                msg=f"no temporary folder where the client runs: {bench_clients.last_word(err or out)}"
            )
        return out.strip()


def run(module: AnsibleModule, place: Place, folder: str) -> dict[str, Any]:
    """One run; fails the module where the client fails."""
    params = module.params
    concurrency = params["concurrency"][0]
    prompts_file, result_file = f"{folder}/prompts.json", f"{folder}/result.json"
    prompts = params["prompts"] or bench_clients.prompts(params["requests"], params["prompt_words"], params["seed"])
    text = bench_clients.prompts_text(list(itertools.islice(itertools.cycle(prompts), params["requests"])))
    rc, out, err = place.run(["tee", prompts_file], data=text)
    if rc:
        module.fail_json(msg=f"the prompts could not be written: {bench_clients.last_word(err)}")
    wanted = bench_clients.Load(
        concurrency=concurrency,
        prompts_file=prompts_file,
        result_file=result_file,
        **{
            name: params[name]
            for name in ("url", "model", "tokenizer", "requests", "output_tokens", "warmups", "seed", "task")
        },
    )
    limit = ["timeout", "--kill-after=10", str(params["timeout"])]
    rc, out, err = place.run([*limit, *bench_clients.argv(params["client"], params["venv"] or "", wanted)])
    what = f"{params['deployment']}, {concurrency} at a time"
    if rc == 124:
        module.fail_json(
            msg=f"{what}: not done after {params['timeout']} s; raise benchmark_timeout or send fewer requests"
        )
    read = place.run(["cat", result_file])
    if rc or read[0]:
        module.fail_json(
            msg=f"{what}: {params['client']}'s client failed: {bench_clients.last_word(err or out)}", rc=rc, stderr=err
        )
    try:
        result = bench_clients.measured(params["client"], read[1], params["requests"], params["task"])
    except ValueError as broken:
        module.fail_json(msg=f"{what}: {broken}")
    return {"concurrency": concurrency, "seed": params["seed"], "requests": params["requests"]} | result


def main() -> None:
    module = AnsibleModule(
        argument_spec=bench_clients.OPTIONS,
        mutually_exclusive=[("venv", "container")],
        required_one_of=[("venv", "container")],
        supports_check_mode=False,
    )
    if module.params["task"] == bench_clients.EMBED and module.params["client"] != "vllm":
        module.fail_json(msg="client: texts are embedded by vLLM's client only; set it to vllm, with its environment")
    place = Place(module)
    folder = place.folder()
    try:
        result = run(module, place, folder)
    finally:
        place.run(["rm", "--recursive", folder])
    module.exit_json(changed=False, runs=[result])


if __name__ == "__main__":
    main()
