# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routers in front of several servers: sglang-router (0.3.2 is its last release) and its successor smg.

Sources: sglang_router/launch_router.py and router_args.py (0.3.2), smg/cli.py and router_args.py (1.13.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import PYTHON, Call, set_options
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

PROGRAMS = {"sglang_router": (PYTHON, "-m", "sglang_router.launch_router"), "smg": ("smg", "launch")}
OWNED = {"host": "host", "port": "port", "api_key": "api_key"}
IGNORED = ("model", "served_model_name", "dtype", "quantization")


def call(request: Request, options: VersionCatalog, sizes: Parallel) -> Call:
    """The command of the router; its servers stand in ``engine_args.worker_urls``."""
    args = set_options(request, host="host", port="port")
    secret = Secret("argument", "FULLRANK_API_KEY", "--api-key")
    return Call(PROGRAMS[request.engine], args, OWNED, secret=secret)


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any], sizes: Parallel) -> Iterator[Finding]:
    """A router has one process, and servers of its own to send to."""
    if request.nnodes != 1:
        where = request.variable("nnodes")
        yield failed("router-on-one-node", where, "a router is one process on one node", "write 1")
    for option in IGNORED:
        if getattr(request, option):
            message = "a router passes on what clients ask for and takes no such option"
            yield warned("not-for-routers", request.variable(option), message, "leave it out")
    if request.engine == "sglang_router":
        where = request.variable("engine")
        yield warned("router-frozen", where, "sglang-router 0.3.2 is its last release", "smg is its successor")
