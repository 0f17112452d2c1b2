# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers of earlier versions, nginx with a watcher, which make room for those of today. Private to this collection.

Their requests end first: systemd stops them by the unit that they were started with. Then today's unit takes the port.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

CACHES = ("/var/cache", "/var/cache/private")


def end(routers: Any, routes: list[str]) -> None:
    """routers: `modules.router.Routers`. routes: those whose files are here."""
    for name in routes:
        former = names.former_router_unit(name)
        unit = Path(names.UNITS, former)
        # a first version's engine of a deployment "router-NAME" has such a name, too
        if unit.exists() and files.path(name, ".json") in unit.read_text():
            routers.end(former)
            routers.systemctl("daemon-reload")
            forget_caches(routers, former[: -len(".service")])
        nginx = Path(files.path(name, ".nginx.conf"))
        if nginx.exists():
            routers.end(names.router_unit(name))
            routers.forget([nginx])
            routers.systemctl("daemon-reload")
            forget_caches(routers, f"fullrank-router/{name}")


def forget_caches(routers: Any, folder: str) -> None:
    """The folders of bodies that their nginx had."""
    if routers.module.check_mode:
        return
    for place in CACHES:
        path = Path(place, folder)
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)


def forget_program(routers: Any) -> None:
    """The watcher's program."""
    program = Path(files.PROGRAM, "fullrank_router")
    if program.exists():
        routers.changed = True
        if not routers.module.check_mode:
            shutil.rmtree(program)
