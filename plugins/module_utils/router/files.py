# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a router on its node, as text: units, HAProxy's configuration, its Lua program, keys. Pure; private."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy, lua, replicas
from ansible_collections.fullrank.serving.plugins.module_utils.router.words import ENGINE
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import command, render

CONFIG = "/etc/fullrank/router"
PROGRAM = "/usr/local/lib/fullrank/router"
GROUP = "fullrank-keys"
"""Who may read keys: root, and the units of routers, which have no account of their own. It is not the name of the unit: systemd
makes a user of that name while it runs."""

HAPROXY = "/usr/sbin/haproxy"
SECRETS = (".keys", ".engine", ".pem")
"""Endings of files that root and `GROUP` alone may read."""

_UNIT = """\
[Unit]
Description=router of {name}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStartPre={haproxy} -c -f {config}
ExecStart={haproxy} -Ws -f {config}
# those that are being answered are answered by the process that is replaced
ExecReload={haproxy} -c -f {config}
ExecReload=/bin/kill -USR2 $MAINPID
SyslogIdentifier=fullrank-router@{name}
Restart=always
RestartSec=1
# requests that are being answered get their answer
KillMode=mixed
KillSignal=SIGUSR1
TimeoutStopSec=30
LimitNOFILE={files}
RuntimeDirectory=fullrank-router/{name}
RuntimeDirectoryMode=0700
SupplementaryGroups={group}
{capabilities}{sandbox}
[Install]
WantedBy=multi-user.target
"""

_SANDBOX = """\
# no account, nothing but its own folder in /run to write to, no device, no process but its own
DynamicUser=yes
NoNewPrivileges=yes
LockPersonality=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
UMask=0077
"""

_SMG_UNIT = """\
[Unit]
Description=smg, which chooses the replica for the router of {name}
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={argv}
# it gets its workers; each is a port of the router's HAProxy
ExecStartPost=/usr/bin/python3 {register} {port} {workers}
SyslogIdentifier=fullrank-smg@{name}
Restart=always
RestartSec=2
TimeoutStopSec=30
LimitNOFILE=65536
CapabilityBoundingSet=
{sandbox}
[Install]
WantedBy=multi-user.target
"""

REGISTER = '''\
"""Tells smg its workers: register.py PORT WORKER..., each worker as JSON."""

import sys
import time
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
port, workers = sys.argv[1], sys.argv[2:]
until = time.monotonic() + 80
while workers:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/workers", workers[0].encode(), {"Content-Type": "application/json"}
    )
    try:
        opener.open(request, timeout=5).close()
        workers.pop(0)
    except OSError as error:
        if time.monotonic() > until:
            raise SystemExit(f"smg does not take its workers: {error}")
        time.sleep(0.2)
'''


def run_folder(name: str) -> str:
    """Where the running instance has its sockets."""
    return f"/run/fullrank-router/{name}"


def path(name: str, ending: str) -> str:
    """A file of a route: ``.cfg``, ``.json`` (the route), and those of `SECRETS`."""
    return f"{CONFIG}/{name}{ending}"


def unit(route: Mapping[str, Any]) -> str:
    """The router's unit."""
    low = min(route["port"], route["metrics_port"]) < 1024
    return render(
        _UNIT,
        name=route["name"],
        haproxy=HAPROXY,
        config=path(route["name"], ".cfg"),
        group=GROUP,
        # two for each connection, and some for checks
        files=2 * (route["max_connections"] + route["queue"]) + 4096,
        capabilities="AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"
        if low
        else "CapabilityBoundingSet=\n",
        sandbox=_SANDBOX,
    )


def balancer_unit(route: Mapping[str, Any]) -> str:
    """smg's unit."""
    balancer = route["balancer"]
    workers = [
        json.dumps(
            {
                "url": f"http://127.0.0.1:{port}",
                # what it would otherwise ask an engine
                "models": [{"id": route["model"]}],
                "runtime": balancer["runtime"],
                "connection_mode": "http",
                "health": {"disable_health_check": True},
            }
        )
        for port in replicas.worker_ports(route)
    ]
    return render(
        _SMG_UNIT,
        name=route["name"],
        argv=command(balancer["argv"]),
        register=f"{PROGRAM}/register.py",
        port=balancer["port"],
        workers=command(workers),
        sandbox=_SANDBOX,
    )


def units(route: Mapping[str, Any]) -> dict[str, str]:
    """Name → text of the units of a route."""
    found = {names.router_unit(route["name"]): unit(route)}
    if route["balancer"]:
        found[names.balancer_unit(route["name"])] = balancer_unit(route)
    return found


def configuration(route: Mapping[str, Any], stamp: str, threads: int) -> str:
    """HAProxy's configuration. stamp: of the other files; the running instance reports a digest of all."""

    def text(digest: str) -> str:
        return haproxy.configuration(
            route,
            run=run_folder(route["name"]),
            maps=path(route["name"], ""),
            program=f"{PROGRAM}/router.lua",
            digest=digest,
            threads=threads,
        )

    return text(hashlib.sha256((text("") + lua.PROGRAM + stamp).encode()).hexdigest())


def digest_in(text: str) -> str:
    """The digest that an instance with this configuration reports."""
    return next(line.split()[1] for line in text.splitlines() if line.strip().startswith("description "))


def record(route: Mapping[str, Any]) -> str:
    """The route as it was given, by which later runs know of it. No secret."""
    return json.dumps(dict(route), indent=1, sort_keys=True) + "\n"


def programs() -> dict[str, str]:
    """Path → text of the programs, which hold no secret."""
    return {f"{PROGRAM}/router.lua": lua.PROGRAM, f"{PROGRAM}/register.py": REGISTER}


def secrets(name: str, keys: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Path → text of the maps of keys. keys: of this route, as the lookup ``router_keys`` has them."""
    own = list(keys)
    found = {path(name, ".keys"): "".join(f"{one['sha256']} {one['name']}\n" for one in own)} if own else {}
    for one in own:
        if one["name"] == ENGINE:
            found[path(name, ".engine")] = f"key {one['key']}\n"
    return found


def revoked(path: str, before: str, after: str) -> list[str]:
    """Commands for a running HAProxy that forget the keys which the map at ``path`` had before and has no more.

    A reload alone leaves them to the process that is replaced: a connection that was open by then could still bring one request.
    before, after: texts of the map.
    """
    still = {line.split()[0] for line in after.splitlines()}
    return [f"del map {path} {line.split()[0]}" for line in before.splitlines() if line.split()[0] not in still]
