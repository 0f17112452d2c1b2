# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a head serves https, and the file with its certificate, from its variables. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VARIABLES = ("engine_args", "engine_env", "engine_image", "engine_mounts", "engine_name", "engine_runtime")
"""The variables that decide it."""


def named(engine: str, args: Mapping[str, Any], env: Mapping[str, Any]) -> str:
    """The certificate that an engine serves, by its own options, as a path where the engine runs; empty for plain HTTP.

    vLLM and SGLang: ``ssl_certfile`` (uvicorn's option behind it). LMDeploy: ``ssl``, with the path in SSL_CERTFILE
    (lmdeploy/serve/openai/api_server.py).
    """
    options = {str(name).lstrip("-").replace("-", "_"): value for name, value in args.items()}
    if engine == "lmdeploy":
        return str(env.get("SSL_CERTFILE") or "") if options.get("ssl") else ""
    return str(options.get("ssl_certfile") or "")


def on_node(path: str, mounts: list[Mapping[str, Any]]) -> str:
    """Where a file of a container lies on the node; empty when none of the mounts has it."""
    for mount in mounts:
        source = str(mount["source"]).rstrip("/")
        target = str(mount.get("target") or source).rstrip("/")
        if source.startswith("/") and (path == target or path.startswith(target + "/")):
            return source + path[len(target) :]
    return ""


def certificate(head: Mapping[str, Any]) -> str:
    """The file with a head's certificate, on its node; empty when it serves plain HTTP. head: its variables."""
    path = named(str(head.get("engine_name") or ""), head.get("engine_args") or {}, head.get("engine_env") or {})
    runtime = head.get("engine_runtime") or ("docker" if head.get("engine_image") else "process")
    if not path or runtime == "process":
        return path
    return on_node(path, list(head.get("engine_mounts") or [])) or path
