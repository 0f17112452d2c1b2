# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries of the table of combinations a launch meets; `plugin_utils/catalog/combinations` has the conditions' language.

The facts of a launch:

* options of `engine_command` by their names: ``executor``, ``nnodes``, ``tensor_parallel_size``, ``runtime`` …
* ``options.NAME``: what stands on the engine's command line, by any name that this version knows; ``options.NAME.KEY`` in JSON
* ``env.NAME``: a variable of the environment
* ``parallel.NAME``: of `parallelism/sizes`, such as ``parallel.attention_dp`` and ``parallel.nodes_per_copy``
* ``model.type``, ``model.moe``: of the model's config.json; ``gpu.compute_capability``: of the node's GPUs, such as 9.0. Not
  known before nodes or variables tell, and then nothing is found
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.combinations import (
    UNKNOWN,
    Combination,
    Facts,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import InvalidVersion, Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel


def found(
    request: Request, options: VersionCatalog, values: Mapping[str, Any], env: Mapping[str, Any], sizes: Parallel
) -> Iterator[Finding]:
    """The entries that this launch meets. values: option in snake case → value, as on the command line. env: all of it."""
    facts = of_launch(request, options, values, env, sizes)
    version = _version(options)
    for entry in options.catalog.combinations:
        if entry.covers(version) and entry.holds(facts):
            level = failed if entry.severity == "refused" else warned
            yield level(entry.id, _where(entry, request), _message(entry, options.requested), entry.remedy)


def _version(options: VersionCatalog) -> str:
    """The requested version, also one that is not in the catalog."""
    try:
        return Version(options.requested).public
    except InvalidVersion:
        return options.version


def of_launch(
    request: Request, options: VersionCatalog, values: Mapping[str, Any], env: Mapping[str, Any], sizes: Parallel
) -> Facts:
    """The facts of a launch, by name. Raises KeyError for a name that is none."""
    own = {name: getattr(request, name) for name in request.__dataclass_fields__ if name != "api_key"}

    def fact(name: str) -> Any:
        kind, _dot, rest = name.partition(".")
        if kind == "options":
            return _option(options, values, rest)
        if kind == "env":
            return env.get(rest)
        if kind == "parallel":
            return getattr(sizes, rest)
        return computed[name](request) if name in computed else own[name]

    computed = {
        "model.type": lambda request: request.config.get("model_type") or UNKNOWN,
        "model.moe": lambda request: UNKNOWN if request.has_experts is None else request.has_experts,
        "gpu.compute_capability": _compute_capability,
    }
    return fact


def _option(options: VersionCatalog, values: Mapping[str, Any], path: str) -> Any:
    name, *inner = path.split(".")
    option = options.lookup(name)
    value = values.get(option.key) if option else None
    for key in inner:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _compute_capability(request: Request) -> Any:
    capability = gpu(request.hardware).capability
    return UNKNOWN if capability is None else capability[0] + capability[1] / 10


def _where(entry: Combination, request: Request) -> str:
    own = entry.where in request.__dataclass_fields__
    return request.variable(entry.where) if own else f"{request.variable('engine_args')}.{entry.where}"


def _message(entry: Combination, version: str) -> str:
    numbers = ", ".join(short for source in entry.source if (short := _short(source)))
    known = f" ({numbers})" if entry.kind == "broken" and numbers else ""
    return f"{entry.engine} {version}: {entry.consequence}{known}"


def _short(source: str) -> str:
    """``https://github.com/vllm-project/vllm/issues/1`` → ``vllm#1``; empty for what is no issue."""
    parts = source.removeprefix("https://github.com/").split("/")
    return f"{parts[1]}#{parts[3]}" if len(parts) == 4 and parts[2] in ("issues", "pull") else ""
