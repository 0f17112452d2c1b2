# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SGLang: one ``sglang.launch_server`` per rank; rank 0 serves HTTP.

Sources: sglang/srt/server_args.py (0.4.3.post2 to 0.5.23), sglang/srt/utils (SGLANG_HOST_IP),
server_args_config_parser.py (``--config``: a YAML file whose name must end in .yaml, merged before the command line),
sglang/srt/utils (configure_logger: SGLANG_LOGGING_CONFIG_PATH, from 0.4.4.post2 on), sglang/srt/entrypoints/engine.py (it logs
``server_args=`` with the key in it).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import snake
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import (
    PYTHON,
    Call,
    name_of_model,
    offline_env,
    present,
    rendezvous_env,
    set_options,
    size,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

LOGGING = "SGLANG_LOGGING_CONFIG_PATH"
LOGGING_SINCE = "0.4.4.post2"
"""The first published version that reads a logging configuration."""

RENDEZVOUS_PORT = 25000
"""The port in SGLang's own help text of --dist-init-addr; SGLang has no default."""

OWNED = {
    "model_path": "model",
    "served_model_name": "served_model_name",
    "host": "host",
    "port": "port",
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "nnodes": "nnodes",
    "node_rank": "rank",
    "dist_init_addr": "head_address",
    "device": "device",
    "dtype": "dtype",
    "quantization": "quantization",
    "api_key": "api_key",
}


def call(request: Request, options: VersionCatalog, sizes: Parallel) -> Call:
    """The command of one rank."""
    port = request.rendezvous_port or RENDEZVOUS_PORT
    args = set_options(request, model_path="model") | name_of_model("served_model_name", request)
    args |= set_options(request, host="host", port="port")
    args |= present(
        tensor_parallel_size=(size(request.tensor_parallel_size), "tensor_parallel_size"),
        pipeline_parallel_size=(size(request.pipeline_parallel_size), "pipeline_parallel_size"),
        data_parallel_size=(size(request.data_parallel_size), "data_parallel_size"),
    )
    args |= set_options(request, dtype="dtype", quantization="quantization")
    env = offline_env(request) | rendezvous_env(request)
    if request.device == "cpu":
        args |= present(device=("cpu", "device"))
        env |= present(SGLANG_USE_CPU_ENGINE=("1", "device"))
    if request.nnodes > 1 and request.head_address:
        args |= present(
            dist_init_addr=(host_port(request.head_address, port), "head_address"),
            nnodes=(request.nnodes, "nnodes"),
            node_rank=(request.rank, "rank"),
        )
    if request.nnodes > 1 and request.rank_address:
        env |= present(SGLANG_HOST_IP=(request.rank_address, "rank_address"))
    secret = _secret(request, options)
    files: tuple[Mapping[str, Any], ...] = ()
    if request.api_key and request.is_head:
        if secret.channel == "file":
            args |= present(config=(secret.path(request), "api_key"))
        if not secret.logged:
            files = (_logging_file(request),)
            env |= present(**{LOGGING: (files[0]["path"], "it would log the key")})
    return Call((PYTHON, "-m", "sglang.launch_server"), args, OWNED, env, secret, port, files)


def _secret(request: Request, options: VersionCatalog) -> Secret:
    """A config file where the version reads one; before that there is only the command line."""
    logged = Version(options.version) < Version(LOGGING_SINCE) or LOGGING in request.env
    if options.lookup("config"):
        return Secret("file", "api-key", logged=logged)
    return Secret("module", "FULLRANK_API_KEY", "--api-key", logged=logged)


def _logging_file(request: Request) -> dict[str, Any]:
    """SGLang's own format and level, without the lines of the module that writes its arguments, key included, into the log."""
    level = next((str(value) for name, value in request.engine_args.items() if snake(str(name)) == "log_level"), "info")
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "[%(asctime)s] %(message)s", "datefmt": "%Y-%m-%d %H:%M:%S"}},
        "handlers": {"journal": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["journal"]},
        "loggers": {name: {"level": "WARNING"} for name in ("sglang.srt.entrypoints.engine", "httpx", "httpcore")},
    }
    return {"path": f"/etc/fullrank/{request.deployment}.logging.json", "content": json.dumps(config, indent=1) + "\n"}


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any], sizes: Parallel) -> Iterator[Finding]:
    """Names and GPUs; other checks: the table of combinations."""
    if len(request.names) > 1:
        main, *others = request.names
        message = f"SGLang lists one name of a model, {main}; it also answers requests for {', '.join(others)}"
        remedy = "clients that choose from the list will not see the others"
        yield warned("aliases-not-listed", request.variable("served_model_name"), message, remedy)
    # sglang/srt/managers/scheduler.py: gpu_id = base_gpu_id + rank on the node
    first = values.get("base_gpu_id") or 0
    if first <= 0 or request.usable_gpus is None:
        return
    if first + int(sizes.gpus_per_node) > request.usable_gpus:
        where = f"{request.variable('engine_args')}.base_gpu_id"
        message = f"{request.engine} {options.requested}: counted from base_gpu_id on, the node has too few GPUs"
        remedy = "leave it out and name the GPUs of the engine instead"
        yield failed("base-gpu-beyond-the-last", where, message, remedy)
