#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``engine_command``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_command
version_added: 0.1.0
short_description: Render what starts one rank of an inference engine
description:
  - Renders command line, environment and container of one rank of SGLang, vLLM, LMDeploy, Ray or a router, for an
    exact engine version, and refuses what that version would refuse.
  - Runs on the controller without a connection to the node and changes nothing.
  - Fails once, with all mistakes, each naming the variable in which it was made and what to write instead.
  - The API key is never part of the result. RV(launch.secret_file) has the file that the caller writes, with its line;
    write it with C(no_log).
options:
  engine:
    description: What is started.
    type: str
    required: true
    choices: [vllm, sglang, lmdeploy, ray, sglang_router, smg]
  engine_version:
    description: Its version. Options are checked against the flag catalog of exactly this version.
    type: str
    required: true
  executor:
    description:
      - How vLLM and LMDeploy reach the GPUs of other nodes. LMDeploy has V(ray) only.
      - With V(ray) rank 0 starts the head of a Ray cluster, waits for the other ranks and their GPUs, and becomes the engine; the
        other ranks are nodes of that cluster.
    type: str
    choices: [native, ray]
    default: native
  deployment:
    description: Name of the deployment; names the container and the secret file.
    type: str
    default: engine
  rank:
    description: This node's place in the deployment, from 0. Rank 0 is the head and serves HTTP.
    type: int
    default: 0
  nnodes:
    description: Number of nodes of the deployment.
    type: int
    default: 1
  rank_address:
    description: This node's own address on the rendezvous interface.
    type: str
  interface:
    description: Name of the rendezvous interface on this node.
    type: str
  head_address:
    description: Address of rank 0 on the rendezvous interface.
    type: str
  rank_addresses:
    description: Addresses of all ranks in their order, for O(executor=ray).
    type: list
    elements: str
    default: []
  rendezvous_port:
    description: Port of the rendezvous on rank 0; default 29501 for vLLM, 25000 for SGLang, 6379 for Ray and LMDeploy.
    type: int
  model:
    description: Path of the weights on the nodes, or the name of a model in a hub.
    type: str
  served_model_name:
    description:
      - The name by which clients call the model. Of several, as a list or with blanks between them, the first is the name and the
        others are aliases.
      - vLLM serves all of them. SGLang lists the first, and answers requests for any. LMDeploy takes one.
    type: raw
  task:
    description:
      - What the model is served for. It adds the option by which the engine does it, where O(engine_args) has none, and a task
        that does not go with engine, version, options or O(model_info) is refused.
    type: str
    choices: [generate, embed, score, classify, transcribe, pool]
  expected_task:
    description:
      - The task that the inventory alone gives (P(fullrank.serving.endpoint#lookup)). Another one by O(model_info) is refused.
    type: str
  model_info:
    description:
      - The model's C(config) (C(config.json)) and C(pooling), as M(fullrank.serving.model_info) returns them. Combinations that
        fail for some models only are found with it.
    type: dict
    default: {}
  host:
    description: Address on which rank 0 serves HTTP.
    type: str
    default: 0.0.0.0
  port:
    description: Port on which rank 0 serves HTTP.
    type: int
    default: 8000
  tensor_parallel_size:
    description: GPUs over which each layer is split, all nodes together.
    type: int
    default: 1
  pipeline_parallel_size:
    description: Stages into which the layers are divided.
    type: int
    default: 1
  data_parallel_size:
    description: Copies of the model behind one endpoint.
    type: int
    default: 1
  gpus:
    description: Indices of the node's GPUs that the rank may use; all when not set.
    type: list
    elements: int
  gpus_per_node:
    description: How many GPUs the node has.
    type: int
  device:
    description: What the model runs on.
    type: str
    choices: [cuda, cpu]
    default: cuda
  rdma:
    description: Whether a container gets the RDMA devices (C(/dev/infiniband)).
    type: bool
    default: false
  dtype:
    description: Type of weights and activations, in the engine's words.
    type: str
  quantization:
    description: Method of quantization, in the engine's words.
    type: str
  engine_args:
    description:
      - All other options of the engine, in its own words, in snake or kebab case.
      - C(true) gives a flag, C(false) and C(null) leave it out.
    type: dict
    default: {}
  env:
    description: Further environment variables; they win over those that are generated, and C(null) leaves one of those out.
    type: dict
    default: {}
  runtime:
    description: What runs the rank.
    type: str
    choices: [process, docker, podman, nerdctl]
    default: process
  venv:
    description: Virtual environment with the engine, for O(runtime=process); programs are looked up in C(PATH) when
      not set.
    type: str
  image:
    description: Image of the engine, needed by every runtime except V(process).
    type: str
  mounts:
    description:
      - Folders, files and named volumes of the node inside the container.
      - A model that is a path is mounted read-only without being named here.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description: Path on the node, or the name of a volume.
        type: str
        required: true
      target:
        description: Path in the container; the same as O(mounts[].source) when not set.
        type: str
      read_only:
        description: Whether the engine may only read it.
        type: bool
        default: false
  container_args:
    description:
      - Further words for the container runtime, verbatim.
      - C(--privileged) and words that do nothing are left out with a warning. Words that the launch writes itself are refused,
        and so are those that give the container the node, unless O(container_unconfined) is set.
    type: list
    elements: str
    default: []
  container_unconfined:
    description:
      - Whether O(container_args) and O(mounts) may give the container the node - capabilities, namespaces, devices, the socket of
        a container runtime, or folders such as C(/), C(/etc) and C(/run). Each is a warning then, and an error otherwise.
    type: bool
    default: false
  api_key:
    description: The key that clients must send. Only letters, digits and C(-._~+/).
    type: str
  secret_file:
    description:
      - Path on the node of the file from which the engine takes the key.
      - C(/etc/fullrank/DEPLOYMENT.secret.env), or C(.yaml) where the engine reads a config file, when not set.
    type: str
  behind_router:
    description:
      - Whether clients reach this engine by a router only. A version whose key a Host header skips (CVE-2026-48710) is refused
        where it is V(false) and O(host) is every address, and warned of otherwise.
    type: bool
  starlette:
    description: Version of Starlette in O(venv), for the same; not known when empty.
    type: str
    default: ""
  hardware:
    description:
      - The node's GPUs - C(gpu), its name, and C(compute_capability), for combinations that fail on some GPUs only;
        C(imex_channels), names of channels that a container gets; C(ibgda), as M(fullrank.serving.gpu_info) returns it.
    type: dict
    default: {}
  variable_prefix:
    description: Prefix of the variables in which the user set these options, for the messages.
    type: str
    default: engine_
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Render what starts this rank
  fullrank.serving.engine_command:
    engine: sglang
    engine_version: 0.5.23
    deployment: deepseek-r1
    rank: "{{ groups['deepseek_r1'].index(inventory_hostname) }}"
    nnodes: "{{ groups['deepseek_r1'] | length }}"
    head_address: 192.0.2.10
    rank_address: 192.0.2.11
    interface: eth0
    model: /srv/models/deepseek-r1
    served_model_name: deepseek-r1
    tensor_parallel_size: 16
    gpus_per_node: 8
    engine_args:
      mem_fraction_static: 0.85
    runtime: docker
    image: lmsysorg/sglang:v0.5.23
    api_key: "{{ engine_api_key }}"
  register: rendered
  no_log: true

- name: Write the key where the engine reads it
  ansible.builtin.copy:
    content: "{{ rendered.launch.secret_file.format | format(engine_api_key) }}"
    dest: "{{ rendered.launch.secret_file.path }}"
    mode: "{{ rendered.launch.secret_file.mode }}"
  when: rendered.launch.secret_file | length > 0
  no_log: true
"""

RETURN = r"""
launch:
  description: Everything needed to start the rank. Holds no secret.
  returned: success
  type: dict
  contains:
    argv:
      description: The whole command, in the foreground, as words.
      type: list
      elements: str
    engine_argv:
      description: >-
        The engine's own part of RV(launch.argv); with O(executor=ray), on ranks other than rank 0, that of Ray.
      type: list
      elements: str
    env:
      description: Environment of the engine. A container's command carries it; for a process the unit sets it.
      type: dict
    environment_file:
      description: Path for C(EnvironmentFile=) of the unit of a process, empty when it needs none.
      type: str
    load_credential:
      description: >-
        Value of C(LoadCredential=) of the unit of a process, for an engine that reads a config file itself and may not be
        allowed to read one of root's; empty when it needs none.
      type: str
    secret_file:
      description: >-
        The file that the caller writes before the start: C(path), C(mode), and C(format), whose C(%s) is to be
        replaced by O(api_key).
        Empty when this rank needs no key.
      type: dict
    group_token:
      description: >-
        Path of a file of mode 0600 with one secret for all ranks, by which they know each other, and which the caller writes;
        empty when they need none.
      type: str
    files:
      description: Files without secrets that the caller writes before the start, each with C(path) and C(content).
      type: list
      elements: dict
    container:
      description: >-
        Runtime, name, image, network, devices, limits, mounts, environment and command of the container, and C(settings), the
        runtime's words between name and entrypoint; empty for a process.
      type: dict
    rendezvous_port:
      description: Port on which rank 0 waits for the others.
      type: int
    reads:
      description: Files and folders of the node that options name, each with C(path) and C(where). A container can read them.
      type: list
      elements: dict
    start_order:
      description: >-
        C(together), whether all other ranks start as soon as the process of rank 0 runs, or one after the other; and C(port), on
        which rank 0 listens before the endpoint answers, 0 where that is not known.
      type: dict
    serves:
      description: Whether this rank has an HTTP server.
      type: bool
    parallel:
      description: >-
        The parallel sizes that the options mean for this engine and version: what multiplies the GPUs (C(tp), C(pp), C(dp),
        C(pcp)), what lies inside (C(attention_dp), C(attention_cp), C(ep)), how many GPUs share what, C(gpus) of the replica and
        C(schedulers), the groups that take requests.
      type: dict
    lines:
      description: The command as one shell line for people, by runtime.
      type: dict
    compose:
      description: The container as a compose document, empty without an image.
      type: str
    spec_hash:
      description: Changes when, and only when, something changes that the running rank would notice, the key included.
      type: str
    origins:
      description: Every generated option and C(env.) variable, with where it came from.
      type: dict
    warnings:
      description: What people should know, a line each.
      type: list
      elements: str
    findings:
      description: Failures and warnings with severity, code, where, message, remedy and data.
      type: list
      elements: dict
    engine:
      description: As in the options.
      type: str
    engine_version:
      description: As in the options.
      type: str
msg:
  description: All mistakes, a line each.
  returned: failure
  type: str
findings:
  description: As RV(launch.findings).
  returned: failure
  type: list
  elements: dict
"""
