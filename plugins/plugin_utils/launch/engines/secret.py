# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the API key reaches the engine: from a file that only root can read, past units, containers and shell lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request

CREDENTIAL = "secret.yaml"

MODULE = (
    "import os, runpy, sys; sys.argv[:2] = sys.argv[1:2]; "
    'sys.argv += ["{option}=" + os.environ.pop("{name}")]; runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'
)
"""``python -m MODULE`` with the key among the arguments that the module reads, and not among those of the process."""


def credential(deployment: str, name: str) -> str:
    """Where the unit of a rank finds what systemd has read for it (systemd.exec(5), LoadCredential=)."""
    return f"/run/credentials/{names.rank_unit(deployment)}/{name}"


@dataclass(frozen=True)
class Secret:
    """What an engine version offers.

    channel: ``file`` (it reads a config file), ``env`` (a variable), ``argument`` (its command line only), ``module`` (the same,
    of a module of Python, so that the process list need not show it). name: the key in the config file, or the variable.
    option: where the value goes when the channel is ``argument`` or ``module``.
    logged: whether the engine writes the key into its log.
    module: what stands behind a program that is no ``python -m``.
    """

    NOTHING: ClassVar[dict[str, str]] = {"environment_file": "", "load_credential": ""}

    channel: str
    name: str
    option: str = ""
    logged: bool = False
    module: str = ""

    def path(self, request: Request) -> str:
        """Where the caller writes the file, of mode 0600; the same path inside a container. SGLang wants .yaml."""
        suffix = "yaml" if self.channel == "file" else "env"
        return request.secret_file or f"/etc/fullrank/{request.deployment}.secret.{suffix}"

    def line(self) -> str:
        """The content of the file, with ``%s`` for the key, whose characters need no quoting (see ``launch.rules``)."""
        return f'{self.name}: "%s"\n' if self.channel == "file" else f"{self.name}=%s\n"

    def by_shell(self, command: Sequence[str], request: Request) -> list[str]:
        """The command started by a shell that reads the file: for people, and inside containers, where ``docker
        inspect`` shows the environment that a container is started with.
        """
        if self.channel == "file":
            return list(command)
        return self._shell(f"set -a; . {shlex.quote(self.path(request))}; ", command)

    def by_systemd(self, command: Sequence[str], request: Request) -> list[str]:
        """The command in a unit, whose user need not be allowed to read the file: systemd reads it."""
        if self.channel == "file":
            loaded = credential(request.deployment, CREDENTIAL)
            return [loaded if word == self.path(request) else word for word in command]
        if self.channel == "module":
            return self._module(command)
        return self._shell("", command) if self.channel == "argument" else list(command)

    def unit(self, request: Request) -> dict[str, str]:
        """The lines of a process's unit besides the command (systemd.exec(5))."""
        path = self.path(request)
        if self.channel == "file":
            return self.NOTHING | {"load_credential": f"{CREDENTIAL}:{path}"}
        return self.NOTHING | {"environment_file": path}

    def file(self, request: Request) -> dict[str, Any]:
        """The file that the caller writes."""
        return {"path": self.path(request), "mode": "0600", "format": self.line()}

    def _shell(self, before: str, command: Sequence[str]) -> list[str]:
        after = f' {self.option}="${self.name}"' if self.channel == "argument" else ""
        command = self._module(command) if self.channel == "module" else command
        return ["/bin/sh", "-c", f'{before}exec "$@"{after}', "sh", *command]

    def _module(self, command: Sequence[str]) -> list[str]:
        python, *rest = command
        if self.module:
            folder, slash, _unused = python.rpartition("/")
            python, rest = f"{folder}{slash}python{'' if slash else '3'}", ["-m", self.module, *rest]
        return [python, "-c", MODULE.format(option=self.option, name=self.name), *rest[1:]]
