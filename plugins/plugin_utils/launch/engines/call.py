# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine module returns, and the words they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

PYTHON = "python3"
"""First word of a program that is a Python module; a virtual environment puts its own interpreter in its place."""


@dataclass(frozen=True)
class Setting:
    """A value that first-class variables, not ``engine_args``, put on the command line or into the environment."""

    value: Any
    origin: str
    """The option of `engine_command` it comes from, or a phrase with the reason for it."""


@dataclass(frozen=True)
class Call:
    """One engine's own part of a launch."""

    program: tuple[str, ...]
    """Words before the options, as found on PATH: ``vllm serve``."""
    args: Mapping[str, Setting]
    """Option in any spelling the catalog knows → value, in the order they are written."""
    owned: Mapping[str, str]
    """Options that may not stand in ``engine_args`` because a first-class variable is theirs → that option of
    `engine_command`.
    """
    env: Mapping[str, Setting] = field(default_factory=dict)
    secret: Secret | None = None
    rendezvous_port: int | None = None
    files: tuple[Mapping[str, Any], ...] = ()
    """Files without secrets that must lie on the node: path and content."""
    mounts: tuple[Mapping[str, Any], ...] = ()
    """What its options name of the node, for a container."""
    left_out: tuple[str, ...] = ()
    """Options of ``engine_args`` that this rank does not take, since they are about others."""
    before: tuple[tuple[str, ...], ...] = ()
    """Commands that come first, one after the other; when one fails the program is not started."""
    token: str = ""
    """Variable that names the file with a secret of the group for the processes in it; empty where there is none."""
    is_engine: bool = True
    """Whether the program is the engine, and its options follow; they are checked all the same."""


@dataclass(frozen=True)
class Engine:
    """An engine module: its part of the launch, and what it checks after parsing (it gets the values on the command
    line).
    """

    call: Callable[[Request, VersionCatalog, Parallel], Call]
    rules: Callable[[Request, VersionCatalog, Mapping[str, Any], Parallel], Iterator[Finding]]


def present(**values: tuple[Any, str]) -> dict[str, Setting]:
    """The arguments that have a value, each with its origin."""
    return {name: Setting(value, origin) for name, (value, origin) in values.items() if value is not None}


def set_options(request: Request, **names: str) -> dict[str, Setting]:
    """Engine option → value of the option of `engine_command` named for it, where that is set."""
    return present(**{name: (getattr(request, option), option) for name, option in names.items()})


def name_of_model(option: str, request: Request) -> dict[str, Setting]:
    """The option of an engine that takes one name: the first."""
    return present(**{option: (next(iter(request.names), None), "served_model_name")})


def size(value: int) -> int | None:
    """A parallel size as an argument: 1 is every engine's default and is left out."""
    return value if value != 1 else None


def rendezvous_env(request: Request) -> dict[str, Setting]:
    """Which interface the libraries under every engine use to find the other ranks.

    gloo and tensorpipe take a name; NCCL takes prefixes, so ``=`` makes it this interface and not eth10 as well
    (NCCL user guide, NCCL_SOCKET_IFNAME).
    """
    if request.nnodes == 1 or not request.interface:
        return {}
    name = request.interface
    env = present(GLOO_SOCKET_IFNAME=(name, "interface"), TP_SOCKET_IFNAME=(name, "interface"))
    if request.device == "cuda":
        env |= present(NCCL_SOCKET_IFNAME=(f"={name}", "interface"))
    return env


def offline_env(request: Request) -> dict[str, Setting]:
    """A model that lies on disk needs no hub; asking it stalls on machines without a way out."""
    local = (request.model or "").startswith("/")
    return present(HF_HUB_OFFLINE=("1", "the model is a local path")) if local else {}
