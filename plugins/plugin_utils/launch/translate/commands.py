# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a pasted text to the commands of engines in it: which engine, which version, which words and which environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import docker_run, shell
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.docker_run import Container

PROGRAMS = {
    ("vllm", "serve"): "vllm",
    ("-m", "vllm.entrypoints.openai.api_server"): "vllm",
    ("-m", "vllm.entrypoints.cli.main", "serve"): "vllm",
    ("sglang", "serve"): "sglang",
    ("-m", "sglang.launch_server"): "sglang",
    ("lmdeploy", "serve", "api_server"): "lmdeploy",
    ("-m", "lmdeploy", "serve", "api_server"): "lmdeploy",
}
_INSTALLED = re.compile(r"\b(vllm|sglang|lmdeploy)(?:\[[^\]]*\])?==([0-9][0-9A-Za-z.]*)")
_RAY = re.compile(r"^[ \t]*[^\n#]*\bray start\b", re.MULTILINE)


@dataclass(frozen=True)
class EngineCommand:
    """One start of an engine."""

    engine: str
    version: str
    """As far as the text has it: a tag of the image, a package that is installed; empty otherwise."""
    words: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    container: Container | None = None


def find(text: str) -> list[EngineCommand]:
    """All starts of engines in a text. Raises ValueError for a text that is no shell."""
    installed = dict(_INSTALLED.findall(text))
    found = [one for command in shell.commands(text) if (one := _engine(command))]
    return [one if one.version else replace(one, version=installed.get(one.engine, "")) for one in found]


def starts_ray(text: str) -> bool:
    """Whether the text starts a Ray cluster beside the engine."""
    return bool(_RAY.search(text))


def _engine(command: shell.Command) -> EngineCommand | None:
    container = docker_run.read(command.words)
    if container is None:
        engine, rest = program(command.words)
        prefixed = dict(word.partition("=")[::2] for word in _assignments(command.words))
        return EngineCommand(engine, "", tuple(rest), command.env | prefixed) if engine else None
    env = {name: shell.expand(value, command.env) for name, value in container.env.items()}
    image_engine, version = docker_run.engine_of_image(container.image)
    for inner in _inside(container.command):
        engine, rest = program(inner.words)
        if engine:
            same = version if engine == image_engine else ""
            return EngineCommand(engine, same, tuple(rest), env | inner.env, container)
    if image_engine == "vllm":  # the image's own entrypoint is the server
        return EngineCommand("vllm", version, tuple(container.command), env, container)
    return None


def _inside(words: Sequence[str]) -> list[shell.Command]:
    """The commands of a container, also those of a shell in it."""
    for place, word in enumerate(words[:-2]):
        if (
            word.rpartition("/")[2] in ("bash", "sh")
            and words[place + 1].startswith("-")
            and words[place + 1].endswith("c")
        ):
            return shell.commands(words[place + 2])
    return [shell.Command(tuple(words))]


def program(words: Sequence[str]) -> tuple[str, list[str]]:
    """The engine that a command line starts, and the words behind its program; empty where it starts none."""
    bare = [word.rpartition("/")[2] if "/" in word else word for word in words]
    for place in range(len(bare)):
        for names, engine in PROGRAMS.items():
            if tuple(bare[place : place + len(names)]) == names:
                return engine, list(words[place + len(names) :])
    return "", []


def _assignments(words: Sequence[str]) -> list[str]:
    """``env A=B program``, and what else stands before the program in that form."""
    before = []
    for word in words:
        if word.startswith("-") or word.rpartition("/")[2] in ("vllm", "sglang", "lmdeploy"):
            break
        if shell.ASSIGNMENT.match(word):
            before.append(word)
    return before
