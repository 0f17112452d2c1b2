# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open WebUI's systemd unit and its file of secrets, as text. Pure; private to this collection."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import (
    HEADER,
    SPEC_HASH_VARIABLE,
    command,
    escape,
    quote,
)
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import environment as assignments
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import render as rendered

NAME = "fullrank-webui"
"""Unit, container and account."""
UNIT = f"/etc/systemd/system/{NAME}.service"
SECRETS = "/etc/fullrank/webui.secret.env"
"""Secrets of the process; no other account may read them."""
KEY = "/etc/fullrank/webui.key"
"""The secret key: made once, and kept for as long as the data is."""
IMAGE_DATA, IMAGE_SECRETS = "/app/backend/data", "/run/fullrank/webui.env"
"""Where the published image keeps its data; where we show it the secrets."""

_UNIT = """\
[Unit]
Description=Open WebUI {version}
Wants={after}
After={after}

[Service]
Type=exec
{service}
Environment={hash_variable}={spec_hash}
SyslogIdentifier={name}
Restart=on-failure
RestartSec=5
TimeoutStopSec=60
UMask=0077
{limits}
[Install]
WantedBy=multi-user.target
"""

# The account may write to its data and nowhere else.
_PROCESS = """\
User={name}
WorkingDirectory={folder}
ExecStart={exec_start}
EnvironmentFile={secrets}
{environment}
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths={writes}"""

# `docker inspect` shows the environment that a container is started with, so a shell inside reads the secrets from their file.
_CONTAINER = """\
ExecStartPre=-{runtime} rm --force {name}
ExecStart={exec_start}
ExecStop={runtime} stop --time 30 {name}
ExecStopPost=-{runtime} rm --force {name}"""
_INSIDE = f"set -a; . {IMAGE_SECRETS}; set +a; exec bash start.sh"


@dataclass(frozen=True)
class Spec:
    """What shall run."""

    version: str
    runtime: str
    """``process``, or the absolute path of docker or podman."""
    data: str
    """Folder with chats, files and, with SQLite, the database."""
    host: str
    port: int
    program: str = ""
    """The command ``open-webui`` of a process."""
    image: str = ""
    account: str = ""
    """``uid:gid`` of the account, for a container."""
    container_args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """What is not secret."""


def environment(spec: Spec) -> dict[str, str]:
    """All variables that are not secret. Caches and static files go below the data, because nothing else can be written."""
    data = spec.data if spec.runtime == "process" else IMAGE_DATA
    own = {
        "DATA_DIR": data,
        "HOME": data,
        "HF_HOME": f"{data}/cache/huggingface",
        "STATIC_DIR": f"{data}/static",
        "PYTHONUNBUFFERED": "1",
    }
    if spec.runtime != "process":
        own |= {"HOST": spec.host, "PORT": str(spec.port)}  # its start.sh reads them
    return {**own, **spec.env}


def secret_file(secrets: Mapping[str, str]) -> str:
    """``NAME="value"`` lines that systemd (systemd.exec(5), EnvironmentFile=) and a POSIX shell read alike.

    Raises ValueError for a value with a line break or for a name that is none.
    """
    for name, value in secrets.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} cannot be the name of an environment variable")
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError(f"the value of {name} has a line break or another control character")
    lines = (f'{name}="{_escaped(value)}"\n' for name, value in sorted(secrets.items()))
    return f"# {HEADER}\n" + "".join(lines)


def _escaped(value: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", value)


def spec_hash(text: str, secrets: str) -> str:
    """HMAC-SHA256 of a unit, with what is secret as the key: a changed secret gives a new hash, and no digest of a secret alone
    stands anywhere.
    """
    return hmac.new(secrets.encode(), text.encode(), hashlib.sha256).hexdigest()


def render(spec: Spec, secrets: str) -> str:
    """The unit file. secrets: the content of the file of secrets, whose change is a change of the service."""
    daemon = " docker.service" if spec.runtime.endswith("docker") else ""
    service = _process(spec) if spec.runtime == "process" else _container(spec)
    limits = "".join(f"{line}\n" for line in _limits(spec.runtime.rpartition("/")[2]))
    fields = {"name": NAME, "version": spec.version, "after": f"network-online.target{daemon}", "service": service}
    fields["limits"] = limits
    fields["hash_variable"] = SPEC_HASH_VARIABLE
    return rendered(_UNIT, **fields, spec_hash=spec_hash(_UNIT.format(**fields, spec_hash=""), secrets))


def _limits(runtime: str) -> list[str]:
    """What the service may not do. Libraries of Open WebUI compile code while they run."""
    if runtime == "process":
        return hardening.lines(generates_code=True)
    return [*hardening.lines(), *hardening.CLIENT_OF_DAEMON] if runtime == "docker" else ["NoNewPrivileges=yes"]


def _process(spec: Spec) -> str:
    words = [spec.program, "serve", "--host", spec.host, "--port", str(spec.port)]
    return _PROCESS.format(
        name=NAME,
        folder=escape(spec.data),  # one path, whatever is in it (systemd.exec(5))
        writes=quote(spec.data, variables=False),  # several, with spaces between them
        exec_start=command(words),
        secrets=SECRETS,
        environment=assignments(environment(spec)),
    )


def _container(spec: Spec) -> str:
    words = [spec.runtime, "run", "--rm", "--name", NAME, "--network", "host", "--user", spec.account]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    words += [word for name, value in environment(spec).items() for word in ("--env", f"{name}={value}")]
    words += ["--volume", f"{spec.data}:{IMAGE_DATA}", "--volume", f"{SECRETS}:{IMAGE_SECRETS}:ro"]
    words += [*spec.container_args, "--entrypoint", "/bin/sh", spec.image, "-c", _INSIDE]
    return _CONTAINER.format(name=NAME, runtime=spec.runtime, exec_start=command(words))


def listening(unit: str) -> tuple[str, int] | None:
    """Host and port where the service of a unit, rendered by this or an earlier version, listens."""
    found = re.search(r"--host (\S+) --port (\d+)", unit) or re.search(r"HOST=(\S+) --env PORT=(\d+)", unit)
    return (found[1], int(found[2])) if found else None
