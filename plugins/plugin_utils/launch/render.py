# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of `engine_command` to the launch of one rank. Pure: the caller reads the catalog, the caller
writes files.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failures, lines
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog, VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import to_argv
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import (
    combinations,
    container_args,
    containers,
    deepep,
    named_files,
    rules,
    tasks,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import lmdeploy, ray, router, sglang, vllm
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import (
    PYTHON,
    Call,
    Engine,
    Setting,
    present,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import CONTAINER_RUNTIMES, Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret, credential
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.options import engine_options
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.quoting import shell_line
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.rank_env import rank_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.start_order import start_order
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import planned

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a systemd service."""

GROUP_TOKEN = "group.token"
"""Name of the group's secret as a credential of the unit (systemd.exec(5))."""

ENGINES = {
    "vllm": Engine(vllm.call, vllm.rules),
    "sglang": Engine(sglang.call, sglang.rules),
    "lmdeploy": Engine(lmdeploy.call, lmdeploy.rules),
    "ray": Engine(ray.call, ray.rules),
    "sglang_router": Engine(router.call, router.rules),
    "smg": Engine(router.call, router.rules),
}


@lru_cache(maxsize=64)
def _at(catalog: Catalog, version: str) -> VersionCatalog:
    return catalog.at(version)


def render(params: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """The launch of one rank, as the RETURN block of `engine_command` describes it.

    params: checked options, see `request.OPTIONS`. catalog: of the engine that the options name.
    Bad input gives findings of severity ``fail``; the launch is complete nevertheless wherever it can be, so that all
    are seen at once.
    """
    request = Request.from_options(params)
    options = _at(catalog, request.engine_version)
    engine = ENGINES[request.engine]
    sizes = planned(options, request.sizes, request.engine_args, request.nnodes)
    call = tasks.with_options(request, engine.call(request, options, sizes), options)
    settings = engine_options(request, call, options)
    call = replace(call, env={**call.env, **rank_env(request, settings.values)})
    serves = sizes.serves(request.rank)
    reads = named_files.named(request, settings.values, _text(_environment(request, call)), serves=serves)
    call = replace(call, mounts=tuple(named_files.to_mount(request, reads)))
    findings = [
        *(one | {"where": request.variable("engine_version")} for one in options.findings),
        *settings.findings,
        *rules.check(request, call, settings.values, sizes),
        *engine.rules(request, options, settings.values, sizes),
        *tasks.check(request, options, settings.values),
        *named_files.check(request, reads),
        *deepep.check(request, settings.values),
        *combinations.found(request, options, settings.values, _text(_environment(request, call)), sizes),
    ]
    arguments, origins = (to_argv(settings.pairs), settings.origins) if call.is_engine else ([], {})
    # nothing of this is part of what runs, nor of a hash: a rank that runs is current whichever came first
    secret = call.secret if request.api_key and serves else None
    return _launch(request, replace(call, secret=secret), arguments, origins, findings) | {
        "start_order": start_order(request, call, sizes, settings.values),
        "serves": serves,
        "parallel": {**asdict(sizes), "gpus": sizes.gpus, "schedulers": sizes.schedulers},
        "reads": [{"path": one.path, "where": one.where} for one in reads],
    }


def mistakes(launch: Mapping[str, Any]) -> str:
    """All failures as one message, a line each; empty when there is none."""
    return failures(launch["findings"], f"launch of {launch['engine']} {launch['engine_version']}")


def _launch(
    request: Request, call: Call, arguments: list[str], origins: dict[str, str], findings: list[Finding]
) -> dict[str, Any]:
    secret = call.secret
    env = _environment(request, call)
    token = f"/etc/fullrank/{request.deployment}.group.token" if call.token else ""
    if token:
        env |= {call.token: Setting(token, "the supervisors' module writes it on each node")}
    variables = _text(env)
    origins |= {f"env.{name}": setting.origin for name, setting in env.items()}
    engine_argv = [*_found(request, call.program), *arguments]
    extra, notes = container_args.check(request)
    findings = [*findings, *notes]

    container: dict[str, Any] = {}
    words: list[str] = []
    compose = ""
    in_shell = secret.by_shell(engine_argv, request) if secret else engine_argv
    people = {"process": shell_line(_behind(in_shell, request, call, secret), variables)}
    if request.image:
        command = [*call.program, *arguments]
        inside = secret.by_shell(command, request) if secret else command
        inside = _behind(inside, request, call, secret)
        container = containers.spec(request, inside, variables, _mounts(request, call, secret, token))
        words = containers.run_words(container, extra)
        container["settings"] = containers.settings(container, extra)
        line = shell_line(words)
        people |= {runtime: f"{runtime} {line}" for runtime in CONTAINER_RUNTIMES}
        compose = containers.compose(request.deployment, container)
    if request.is_container:
        argv = [request.runtime, *words]
    else:
        argv = secret.by_systemd(engine_argv, request) if secret else engine_argv
        argv = _behind(argv, request, call, secret)

    launch: dict[str, Any] = {
        "engine": request.engine,
        "engine_version": request.engine_version,
        "argv": argv,
        "engine_argv": engine_argv,
        "env": variables,
        **(secret.unit(request) if secret and not request.is_container else Secret.NOTHING),
        "group_token": token,
        "secret_file": secret.file(request) if secret else {},
        "files": [dict(file) for file in call.files],
        "container": container if request.is_container else {},
        "rendezvous_port": call.rendezvous_port,
    }
    if token and not request.is_container:
        # the engine's user may not read the file: systemd does
        launch["env"] = variables | {call.token: credential(request.deployment, GROUP_TOKEN)}
        launch["load_credential"] = f"{GROUP_TOKEN}:{token}"
    launch["spec_hash"] = spec_hash(launch, request.api_key if secret else None)
    launch |= {"lines": people, "compose": compose, "origins": origins}
    launch |= {"warnings": lines(findings, "warn"), "findings": findings}
    return launch


def spec_hash(spec: Mapping[str, Any], key: str | None) -> str:
    """HMAC-SHA256 of the spec, hex.

    The API key is the HMAC's key: a new key gives a new hash, and no digest of the key itself stands anywhere. (A short
    key can still be found by trial, as with any digest; a random one cannot.)

    Names of units and containers are no part of what runs: they are hashed as the first versions wrote them, so that an engine
    that runs by its former name is known to run the same launch.
    """
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), default=str)
    text = text.replace("fullrank-rank@", "fullrank-").replace("fullrank-rank-", "fullrank-")
    return hmac.new((key or "").encode(), text.encode(), hashlib.sha256).hexdigest()


def _behind(argv: list[str], request: Request, call: Call, secret: Secret | None) -> list[str]:
    """A command behind those that come before it, which are no business of the key."""
    if not call.before:
        return argv
    without = ["env", "-u", secret.name] if secret else []
    before = [shell_line([*without, *_found(request, command)]) for command in call.before]
    return ["/bin/sh", "-c", " && ".join([*before, 'exec "$@"']), "sh", *argv]


def _found(request: Request, program: Sequence[str]) -> list[str]:
    """A program of the engine's environment, as it is found there."""
    first, *rest = program
    if request.is_container or not request.venv:
        return [first, *rest]
    return [f"{request.venv.rstrip('/')}/bin/{'python' if first == PYTHON else first}", *rest]


def _environment(request: Request, call: Call) -> dict[str, Setting]:
    env = dict(call.env)
    if request.venv and not request.is_container:
        path = f"{request.venv.rstrip('/')}/bin:{SYSTEM_PATH}"
        env |= present(PATH=(path, "compilers of kernels are looked up in PATH, some lie in the environment"))
    if request.gpus is not None and not request.is_container:
        indices = ",".join(map(str, request.gpus))
        env |= present(CUDA_VISIBLE_DEVICES=(indices, "gpus"), CUDA_DEVICE_ORDER=("PCI_BUS_ID", "gpus"))
    env |= {str(name): Setting(value, "env") for name, value in request.env.items()}
    used = {name: setting for name, setting in env.items() if setting.value is not None}
    return {name: Setting(setting.value, request.origin(setting.origin)) for name, setting in used.items()}


def _text(env: Mapping[str, Setting]) -> dict[str, str]:
    return {name: str(setting.value) for name, setting in env.items()}


def _mounts(request: Request, call: Call, secret: Secret | None, token: str) -> list[Mapping[str, Any]]:
    mounts: list[Mapping[str, Any]] = list(request.mounts)
    if request.model and request.model.startswith("/") and not containers.covers(mounts, request.model):
        mounts.append({"source": request.model, "read_only": True})
    mounts += call.mounts
    paths = [file["path"] for file in call.files] + ([secret.path(request)] if secret else [])
    paths += [token] if token else []
    mounts += [{"source": path, "read_only": True} for path in paths]
    return mounts
