# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a router on its node, as text: the unit, nginx' configuration, the watcher's program. Pure; private."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.router import agent
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.nginx import configuration
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import render

CONFIG = "/etc/fullrank/router"
PACKAGE = "fullrank_router"
PROGRAM = "/usr/local/lib/fullrank/router"

_UNIT = """\
[Unit]
Description=router of {name}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
# the watcher; nginx, and smg where there is one, are its children
ExecStart=/usr/bin/python3 -m {package}.router.agent {config}
ExecReload=/bin/kill -HUP $MAINPID
Environment=PYTHONPATH={program} PYTHONDONTWRITEBYTECODE=1
SyslogIdentifier=fullrank-router@{name}
Restart=always
RestartSec=2
WatchdogSec=20
# requests that are being answered get their answer
KillMode=mixed
TimeoutStopSec=40
LimitNOFILE=65536
# no account, nothing but these two folders to write to, and nothing secret to read
DynamicUser=yes
RuntimeDirectory=fullrank-router/{name}
RuntimeDirectoryMode=0755
CacheDirectory=fullrank-router/{name}
{capabilities}
[Install]
WantedBy=multi-user.target
"""

_HTTP = """\
    default_type application/json;

    # the replicas that get requests; the router's watcher writes it
    include {run}/servers.conf;

    server {{
        listen {listen};
        client_max_body_size {max_body_mib}m;
        client_body_buffer_size 1m;

        location = /fullrank/ready {{
            if ($replicas_open = 0) {{
                return 503 $replicas_state;
            }}
            return 200 $replicas_state;
        }}
{locations}
    }}
"""

_LOCATION = """
        location {match} {{
            if ($replicas_open = 0) {{
                return 503 '{{"error": {{"message": "no replica of {name} is ready", "type": "unavailable", "code": 503}}}}';
            }}
            proxy_pass http://replicas;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            # a token goes to the client when it comes
            proxy_buffering off;
            # where a replica does not take the connection the next one is asked; what was sent is not sent again
            proxy_connect_timeout 2s;
            proxy_next_upstream error timeout;
            proxy_send_timeout {timeout}s;
            proxy_read_timeout {timeout}s;
            send_timeout {timeout}s;
        }}"""

# smg also has paths that change it (workers, tokenizers, caches): clients get those that answer questions
_QUESTIONS = (
    "chat/completions|completions|embeddings|messages|models|rerank|responses|score|classify|audio/[a-z]+|images/[a-z]+"
)
_SMG_PATHS = rf"~ ^/(generate|health|model_info|get_model_info|rerank|v1/({_QUESTIONS})(/.*)?)$"
_NOT_FOUND = """

        location / {
            return 404 '{"error": {"message": "not found", "type": "invalid_request_error", "code": 404}}';
        }"""


def run_folder(name: str) -> str:
    """Where the watcher writes what changes from moment to moment: its status, and the replicas for nginx."""
    return f"/run/fullrank-router/{name}"


def config_file(name: str) -> str:
    """The watcher's configuration."""
    return f"{CONFIG}/{name}.json"


def nginx_file(name: str) -> str:
    """nginx' configuration."""
    return f"{CONFIG}/{name}.nginx.conf"


def unit(route: Mapping[str, Any]) -> str:
    """The unit file."""
    return render(
        _UNIT,
        name=route["name"],
        package=PACKAGE,
        config=config_file(route["name"]),
        program=PROGRAM,
        capabilities="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if route["port"] < 1024 else "",
    )


def nginx(route: Mapping[str, Any]) -> str:
    """nginx' configuration, without what changes from moment to moment."""
    host = f"[{route['host']}]" if ":" in route["host"] else route["host"]
    words = {"name": route["name"], "timeout": route["timeout"]}
    if route["balancer"]:
        locations = _LOCATION.format(match=_SMG_PATHS, **words) + _NOT_FOUND
    else:
        locations = _LOCATION.format(match="/", **words)
    run = run_folder(route["name"])
    http = _HTTP.format(
        run=run, listen=f"{host}:{route['port']}", max_body_mib=route["max_body_mib"], locations=locations
    )
    return configuration(run=run, cache=f"/var/cache/fullrank-router/{route['name']}", http=http)


def files(route: Mapping[str, Any]) -> dict[str, str]:
    """Path → text of everything that makes up one route, but the program."""
    return {
        f"{names.UNITS}/{names.router_unit(route['name'])}": unit(route),
        nginx_file(route["name"]): nginx(route),
        config_file(route["name"]): json.dumps(dict(route), indent=1, sort_keys=True) + "\n",
    }


def digest(route: Mapping[str, Any]) -> str:
    """By which the watcher names the configuration that it goes by."""
    texts = files(route)
    return hashlib.sha256((texts[config_file(route["name"])] + texts[nginx_file(route["name"])]).encode()).hexdigest()


def program() -> dict[str, str]:
    """Path → text of each module of the watcher."""
    return {f"{PROGRAM}/{path}": text for path, text in payload.files(agent, PACKAGE).items()}
