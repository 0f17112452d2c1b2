# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch is rendered from: the options of `engine_command`, as one table and as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.tasks import TASKS
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.served_names import served_names

ENGINES = ("vllm", "sglang", "lmdeploy", "ray", "sglang_router", "smg")
CONTAINER_RUNTIMES = ("docker", "podman", "nerdctl")

OPTIONS: dict[str, dict[str, Any]] = {
    "engine": {"type": "str", "required": True, "choices": list(ENGINES)},
    "engine_version": {"type": "str", "required": True},
    "executor": {"type": "str", "choices": ["native", "ray"], "default": "native"},
    "deployment": {"type": "str", "default": "engine"},
    "rank": {"type": "int", "default": 0},
    "nnodes": {"type": "int", "default": 1},
    "rank_address": {"type": "str"},
    "interface": {"type": "str"},
    "head_address": {"type": "str"},
    "rank_addresses": {"type": "list", "elements": "str", "default": []},
    "rendezvous_port": {"type": "int"},
    "model": {"type": "str"},
    "served_model_name": {"type": "raw"},
    "task": {"type": "str", "choices": list(TASKS)},
    "expected_task": {"type": "str"},
    "model_info": {"type": "dict", "default": {}},
    "host": {"type": "str", "default": "0.0.0.0"},
    "port": {"type": "int", "default": 8000},
    "tensor_parallel_size": {"type": "int", "default": 1},
    "pipeline_parallel_size": {"type": "int", "default": 1},
    "data_parallel_size": {"type": "int", "default": 1},
    "gpus": {"type": "list", "elements": "int"},
    "gpus_per_node": {"type": "int"},
    "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
    "rdma": {"type": "bool", "default": False},
    "dtype": {"type": "str"},
    "quantization": {"type": "str"},
    "engine_args": {"type": "dict", "default": {}},
    "env": {"type": "dict", "default": {}},
    "runtime": {"type": "str", "choices": ["process", *CONTAINER_RUNTIMES], "default": "process"},
    "venv": {"type": "str"},
    "image": {"type": "str"},
    "mounts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "source": {"type": "str", "required": True},
            "target": {"type": "str"},
            "read_only": {"type": "bool", "default": False},
        },
    },
    "container_args": {"type": "list", "elements": "str", "default": []},
    "container_unconfined": {"type": "bool", "default": False},
    "api_key": {"type": "str", "no_log": True},
    "secret_file": {"type": "str"},
    "behind_router": {"type": "bool"},
    "starlette": {"type": "str", "default": ""},
    "hardware": {"type": "dict", "default": {}},
    "variable_prefix": {"type": "str", "default": "engine_"},
}
"""Ansible's argument specification. The module's documentation explains each option; a test holds the two together."""


FROM_NODES = ("head_address", "interface", "rank_address", "rank_addresses")
"""Options that the role engine takes from the rendezvous; who calls the module alone writes them."""


@dataclass(frozen=True)
class Request:
    """The options after Ansible has checked their types; null where nothing was set and there is no default."""

    engine: str
    engine_version: str
    executor: str = "native"
    deployment: str = "engine"
    rank: int = 0
    nnodes: int = 1
    rank_address: str | None = None
    interface: str | None = None
    head_address: str | None = None
    rank_addresses: tuple[str, ...] = ()
    rendezvous_port: int | None = None
    model: str | None = None
    served_model_name: str | None = None
    """All names, with blanks between them."""
    task: str | None = None
    expected_task: str | None = None
    model_info: Mapping[str, Any] = field(default_factory=dict)
    host: str = "0.0.0.0"
    port: int = 8000
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    gpus: tuple[int, ...] | None = None
    gpus_per_node: int | None = None
    device: str = "cuda"
    rdma: bool = False
    dtype: str | None = None
    quantization: str | None = None
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    runtime: str = "process"
    venv: str | None = None
    image: str | None = None
    mounts: tuple[Mapping[str, Any], ...] = ()
    container_args: tuple[str, ...] = ()
    container_unconfined: bool = False
    api_key: str | None = field(default=None, repr=False)
    secret_file: str | None = None
    behind_router: bool | None = None
    starlette: str = ""
    hardware: Mapping[str, Any] = field(default_factory=dict)
    variable_prefix: str = "engine_"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Request:
        """Read checked options; lists become tuples, an empty text means not set."""
        known = {f.name for f in fields(cls)}
        params: dict[str, Any] = {
            key: value for key, value in options.items() if key in known and value is not None and value != ""
        }
        if names := served_names(params.pop("served_model_name", None)):
            params["served_model_name"] = " ".join(names)
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}
        return cls(**values)

    def variable(self, option: str) -> str:
        """Where the user set an option: ``engine_version`` for engine_version, ``engine_port`` for port. What the role takes
        from the nodes is no variable: the option itself.
        """
        if option in FROM_NODES:
            return option
        return self.variable_prefix + ("name" if option == "engine" else option.removeprefix("engine_"))

    def origin(self, origin: str) -> str:
        """Where a generated word came from, for people: the variable, or the phrase as it is."""
        return self.variable(origin) if origin in OPTIONS else origin

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the model: the first is its name, the others are aliases."""
        return served_names(self.served_model_name)

    @property
    def sizes(self) -> dict[str, int]:
        """The first-class parallel sizes."""
        names = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
        return {name: getattr(self, name) for name in names}

    @property
    def is_container(self) -> bool:
        """Whether the rank runs in a container."""
        return self.runtime in CONTAINER_RUNTIMES

    @property
    def is_head(self) -> bool:
        """Rank 0: it serves HTTP and its address is the rendezvous."""
        return self.rank == 0

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json; empty while it is not known."""
        config = self.model_info.get("config")
        return config if isinstance(config, Mapping) else {}

    @property
    def has_experts(self) -> bool | None:
        """Whether the model is a mixture of experts; None while it is not known."""
        return architecture(self.config)[0].experts > 0 if self.config else None

    @property
    def usable_gpus(self) -> int | None:
        """GPUs of this node that the rank may use; None when it is not known."""
        return len(self.gpus) if self.gpus is not None else self.gpus_per_node
