# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as somebody wrote them, in any spelling the version takes, as canonical name → value. Pure.

What is wrong with them is reported where the command is rendered; here it counts as not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

SHORT = {"tensor_parallel_size": "tp", "data_parallel_size": "dp"}
"""First-class size → LMDeploy's option; the other engines call theirs as we do."""


def resolved(options: VersionCatalog, args: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical name in snake case → value of each option of ``args`` that this version has."""
    return {option.key: value for option, value in options.check(args, "").options}


def sizes_as_options(engine: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """The first-class sizes as options of the engine; 1 is every engine's default and is left out."""
    names = SHORT if engine == "lmdeploy" else {}
    return {names.get(name, name): size for name, size in sizes.items() if size != 1}


def planned(options: VersionCatalog, sizes: Mapping[str, int], args: Mapping[str, Any], nnodes: int = 1) -> Parallel:
    """The parallel sizes of a deployment's variables.

    sizes: tensor_parallel_size and so on → value; they win over ``args``, where they may not stand.
    """
    engine = options.catalog.engine
    values = resolved(options, args) | sizes_as_options(engine, sizes)
    return parallel(engine, options.version, values, nnodes)
