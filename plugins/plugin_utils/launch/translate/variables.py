# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one start of an engine to the variables of a deployment, with what became of every word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import lmdeploy, sglang, vllm
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import OPTIONS
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.rules import SECRET_NAME
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import options, shell
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.commands import EngineCommand
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.docker_run import Container

OWNED: Mapping[str, Mapping[str, str]] = {"vllm": vllm.OWNED, "sglang": sglang.OWNED, "lmdeploy": lmdeploy.OWNED}
PER_RANK_OPTIONS = ("data_parallel_address", "data_parallel_rank", "data_parallel_start_rank")
_RANKS_OWN = (
    *("VLLM_HOST_IP", "SGLANG_HOST_IP", "HOST_IP", "MASTER_ADDR", "MASTER_PORT", "RAY_ADDRESS", "NCCL_SOCKET_IFNAME"),
    *("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "VLLM_NIXL_SIDE_CHANNEL_HOST", "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME"),
)
OWN_VARIABLES = dict.fromkeys(_RANKS_OWN, "each rank gets its own, from the rendezvous") | {
    "HF_HOME": "weights lie in engine_model",
    "HF_HUB_CACHE": "weights lie in engine_model",
    "HF_HUB_OFFLINE": "set for a model that lies on disk",
    "HF_ENDPOINT": "write model_endpoint where weights are fetched from a mirror",
    "PYTHONUNBUFFERED": "the journal has each line as it is written",
}
MODELSCOPE = ("VLLM_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE", "LMDEPLOY_USE_MODELSCOPE")
_SEEN_BY_ENGINES = re.compile(
    r"^(VLLM|SGLANG|SGL|LMDEPLOY|NCCL|CUDA|TORCH|TORCHINDUCTOR|PYTORCH|HF|UCX|NVSHMEM|RAY|OMP|MC|MOONCAKE|NIXL|LMCACHE|TRITON|"
    r"FLASHINFER|SAFETENSORS|TOKENIZERS|TRANSFORMERS|DEEP_EP|DG|NVIDIA|GLOO|LD|PYTHON|HIP|HSA|ROCM|AITER|TRTLLM|OUTLINES|TILELANG|NO_COLOR)(_|$)"
)
STRANGE = ("option-unknown", "option-removed", "option-too-new")
FOLDER = "/srv/models"


@dataclass
class Translation:
    """Variables of a deployment, and what became of the words."""

    engine: str
    version: str
    variables: dict[str, Any] = field(default_factory=dict)
    nodes: int = 1
    rank: int = 0
    owned: list[tuple[str, str]] = field(default_factory=list)
    """Words that a variable of ours has in another form, or that follow from the inventory → which, or from what."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """Words that nothing takes the place of → why."""
    unknown: list[str] = field(default_factory=list)
    """Options that this version does not know; they are in ``engine_args`` all the same, and the check names what to write."""
    open: list[str] = field(default_factory=list)
    """What is for the user to fill in."""


def translate(command: EngineCommand, catalog: VersionCatalog) -> Translation:
    """The deployment that a command starts. catalog: of the version."""
    found = Translation(command.engine, catalog.requested)
    parsed = options.read(command.words, catalog)
    found.variables = {"engine_name": command.engine, "engine_version": catalog.requested}
    if command.container:
        _container(found, command.container)
    owners = {option.name: owner for name, owner in OWNED[command.engine].items() if (option := catalog.lookup(name))}
    arguments: dict[str, Any] = {}
    model = parsed.positional[0] if parsed.positional else ""
    for extra in parsed.positional[1:]:
        found.dropped.append((extra, "it stands where the engine's parser expects no word"))
    for name, value in parsed.options.items():
        resolved = catalog.check({name: value}, "")
        option = catalog.lookup(name)
        meant = [one.name for one, _value in resolved.options] + ([option.name] if option else [])
        owner = next((owners[one] for one in meant if one in owners), "")
        if any(one["code"] in STRANGE for one in resolved.findings):
            found.unknown.append(name)
        if name in PER_RANK_OPTIONS:
            found.owned.append((name, "each rank gets its own"))
            found.nodes = max(found.nodes, 2)
            found.rank = max(found.rank, _whole(value))
        elif owner == "model":
            model = str(value)
        elif owner:
            _owned(found, name, owner, value)
        elif name in ("revision", "tokenizer_revision", "code_revision"):
            found.dropped.append((f"{name} {value}", "weights are of one commit: model_revision"))
        else:
            arguments[name] = value
    _model(found, model, arguments)
    _environment(found, command.env)
    if arguments:
        found.variables["engine_args"] = arguments
    _fill_in(found)
    return found


def _owned(found: Translation, name: str, owner: str, value: Any) -> None:
    variables = found.variables
    missing = shell.unknown(value) if isinstance(value, str) else []
    if missing and owner not in ("api_key", "head_address", "rank"):
        found.open.append(f"engine_{owner}: the command takes it from ${missing[0]}")
    elif OPTIONS.get(owner, {}).get("type") == "int" and not str(value).isdigit():
        found.open.append(f"engine_{owner}: the command has {value}, which is no number")
    elif owner == "api_key":
        found.owned.append((name, "engine_api_key; its value was not copied, keep it in a vault"))
    elif owner == "executor":
        if value == "ray":
            variables["engine_executor"] = "ray"
        found.owned.append((f"{name} {value}", "engine_executor"))
    elif owner == "nnodes":
        found.nodes = max(found.nodes, _whole(value))
        found.owned.append((f"{name} {value}", "the number of hosts in the group"))
    elif owner == "rank":
        found.rank = 1 if value is True else _whole(value)
        found.nodes = max(found.nodes, found.rank + 1)
        found.owned.append((f"{name} {value}".replace(" True", ""), "the order of the hosts in the group"))
    elif owner == "head_address":
        found.owned.append((f"{name} {value}", "the address of the first host"))
        port = re.search(r":(\d{1,5})$", str(value))
        if port:
            variables["engine_rendezvous_port"] = int(port[1])
    elif owner == "device":
        if value == "cpu":
            variables["engine_device"] = "cpu"
    elif owner == "served_model_name":
        names = [str(one) for one in (value if isinstance(value, list) else [value])]
        variables["engine_served_model_name"] = names if names[1:] else names[0]
    elif (owner, value) in (("dtype", "auto"), ("host", "0.0.0.0")):
        found.dropped.append((f"{name} {value}", "it is the default"))
    else:
        variables[f"engine_{owner}"] = value


def _whole(value: Any) -> int:
    return int(value) if str(value).isdigit() else 0


def _model(found: Translation, model: str, arguments: dict[str, Any]) -> None:
    variables = found.variables
    if model.startswith("/"):
        variables["engine_model"] = model
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        name = model.rpartition("/")[2].lower()
        variables |= {"engine_model": f"{FOLDER}/{name}", "model_hub": "huggingface", "model_repo": model}
        variables.setdefault("engine_served_model_name", model)
        found.open.append("model_revision: the commit of the model on its hub; weights are fetched by the role model")
    else:
        variables["engine_model"] = f"{FOLDER}/model"
        shown = f"the command has {model}" if model else "the command names none"
        found.open.append(f"engine_model: the folder of the weights on the nodes; {shown}")
    variables.setdefault("engine_served_model_name", variables["engine_model"].rstrip("/").rpartition("/")[2])
    if isinstance(arguments.get("tokenizer"), str) and arguments["tokenizer"] == model:
        found.dropped.append((f"tokenizer {model}", "it is the model itself"))
        del arguments["tokenizer"]


def _container(found: Translation, container: Container) -> None:
    found.variables |= {"engine_runtime": container.runtime, "engine_image": container.image}
    mounts = []
    for mount in container.mounts:
        if ".cache/huggingface" in mount["source"] or str(mount.get("target", "")).endswith(
            (".cache/huggingface", ".cache")
        ):
            found.dropped.append((f"--volume {mount['source']}", "weights lie in engine_model, which is mounted"))
        elif not mount["source"].startswith("/"):
            found.dropped.append(
                (f"--volume {mount['source']}", "write the whole path into engine_mounts where it is needed")
            )
        else:
            mounts.append(mount)
    if mounts:
        found.variables["engine_mounts"] = mounts
    if container.gpus:
        found.variables["engine_gpus"] = container.gpus
    if container.further:
        found.variables["engine_container_args"] = list(container.further)
    found.dropped += container.dropped


def _environment(found: Translation, env: Mapping[str, str]) -> None:
    remaining: dict[str, str] = {}
    for name, value in env.items():
        if name in OWN_VARIABLES:
            found.owned.append((f"{name}={value}", OWN_VARIABLES[name]))
        elif name == "CUDA_VISIBLE_DEVICES":
            if re.fullmatch(r"\d+(,\d+)*", value):
                found.variables["engine_gpus"] = [int(one) for one in value.split(",")]
            found.owned.append((f"{name}={value}", "engine_gpus"))
        elif SECRET_NAME.search(name):
            found.dropped.append(
                (name, "a secret; its value was not copied: engine_api_key, or the token of the role model")
            )
        elif name in MODELSCOPE:
            found.owned.append((f"{name}={value}", "model_hub"))
            if value.lower() in ("1", "true") and "model_hub" in found.variables:
                found.variables["model_hub"] = "modelscope"
        elif not _SEEN_BY_ENGINES.match(name):
            found.dropped.append((f"{name}={value}", "no engine reads it: it was for the text of the command"))
        else:
            remaining[name] = value
    if remaining:
        found.variables["engine_env"] = remaining


def _fill_in(found: Translation) -> None:
    """Variables of the shell that had no value."""
    missing: dict[str, str] = {}

    def look(where: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                look(f"{where}.{name}", inner)
        elif isinstance(value, list):
            for inner in value:
                look(where, inner)
        elif isinstance(value, str):
            for name in shell.unknown(value):
                missing.setdefault(where, name)

    for name, value in found.variables.items():
        look(name, value)
    found.open += [f"{where}: the command takes it from ${name}" for where, name in missing.items()]
