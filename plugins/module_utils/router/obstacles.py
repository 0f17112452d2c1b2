# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of routers on their node. Private to this collection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    FAIL,
    Finding,
    failed,
    passed,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy, replicas
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

OURS = "fullrank-"
_OPENSSL = {
    "KEY_VALUES_MISMATCH": "the key is another certificate's",
    "PEM lib": "one of them is no PEM file, or has no such part",
}
"""OpenSSL's errors, as Python's ssl shows them, in plain words."""


def ports(route: Mapping[str, Any]) -> dict[int, str]:
    """The ports of a route → the variables that set them."""
    found = {int(route["port"]): "router_port", int(route["metrics_port"]): "router_metrics_port"}
    if route["balancer"]:
        own = [route["balancer"]["port"], route["balancer"]["port"] + 1, *replicas.worker_ports(route)]
        found |= dict.fromkeys(own, "router_smg_port")
    return found


def found(
    routes: Sequence[Mapping[str, Any]], listeners: Sequence[Mapping[str, Any]], version: tuple[int, ...]
) -> list[Finding]:
    """Ports that somebody else holds, names that this node cannot resolve, keys that are not there, certificates that no server
    could show.

    listeners: as `node.listeners.holders` has them. version: of HAProxy, empty where there is none yet.
    """
    findings = list(_version(version))
    holders = {one["port"]: one for one in listeners}
    for route in routes:
        findings += [*_held(route, holders), *_unknown(route), *_missing(route)]
    return findings


def before_engines(
    routes: Sequence[Mapping[str, Any]], listeners: Sequence[Mapping[str, Any]], version: tuple[int, ...]
) -> list[Finding]:
    """The same as `found` before engines are started: a key can be made until then, and a unit of ours can leave its port."""
    others = [one for one in listeners if not str(one["unit"]).startswith(OURS)]
    findings = found([{**route, "key": True} for route in routes], others, version)
    bad = {str(one["where"]).rpartition(" of ")[2] for one in findings if one["severity"] == FAIL}
    return findings + [
        passed("router", f"router of {route['name']}", "nothing stands in its way")
        for route in routes
        if not {route["name"], "haproxy"} & bad
    ]


def _version(version: tuple[int, ...]) -> Iterator[Finding]:
    number = ".".join(map(str, version))
    if version and version < haproxy.MINIMUM:
        oldest = ".".join(map(str, haproxy.MINIMUM))
        yield failed(
            "haproxy-version",
            "haproxy",
            f"version {number} is older than {oldest}",
            "install the distribution's newest",
        )
    elif version and version < haproxy.ACCOUNTS:
        message = (
            f"version {number} does not count requests and tokens by key, and takes no large body without its size"
        )
        yield warned("haproxy-version", "haproxy", message, "2.5 and newer do: Debian 12, Ubuntu 24.04")


def _held(route: Mapping[str, Any], holders: Mapping[int, Mapping[str, Any]]) -> Iterator[Finding]:
    own = (
        names.router_unit(route["name"]),
        names.balancer_unit(route["name"]),
        names.former_router_unit(route["name"]),
    )
    for port, variable in ports(route).items():
        holder = holders.get(port)
        if holder and holder["unit"] not in own:
            who = f"{holder['command'] or 'a process that could not be seen'} (pid {holder['pid']}"
            who += f", {holder['unit']})" if holder["unit"] else ")"
            message = f"port {port} is in use by {who}"
            yield failed("port-in-use", f"{variable} of {route['name']}", message, "end it, or choose another port")


def _unknown(route: Mapping[str, Any]) -> Iterator[Finding]:
    for server in route["servers"]:
        name = urlsplit(server["url"]).hostname or ""
        try:
            socket.getaddrinfo(name, None)
        except OSError as error:
            message = f"this node does not know {name}: {error}"
            remedy = f"give {server['name']} an address as ansible_host"
            yield failed("name-not-resolved", f"router of {route['name']}", message, remedy)


def _missing(route: Mapping[str, Any]) -> Iterator[Finding]:
    if route["key_required"] and not route["key"]:
        message = "the key of the deployment is not made yet"
        yield failed("no-key", f"router of {route['name']}", message, "run playbooks/engines.yml first, or site.yml")
    if route["tls"] and not route["tls_own"]:  # one of our own is made by the role
        yield from _certificate(route)


def _certificate(route: Mapping[str, Any]) -> Iterator[Finding]:
    parts = ("tls_certificate", "tls_key")
    missing = [part for part in parts if not Path(route[part]).is_file()]
    for part in missing:
        where, message = f"router_{part} of {route['name']}", f"{route[part]} is not there"
        yield failed("no-certificate", where, message, "put it there, or name another")
    if not missing and (why := _unusable(*(route[part] for part in parts))):
        message = f"no server can show {route['tls_certificate']} with {route['tls_key']}: {why}"
        remedy = "write PEM files, the certificate of the server first in its file, and its key without a passphrase"
        yield failed("bad-certificate", f"router_tls_certificate of {route['name']}", message, remedy)


def _unusable(certificate: str, key: str) -> str:
    """Why OpenSSL does not take a certificate with its key; empty where it does."""

    def passphrase() -> str:
        raise ValueError("the key has a passphrase")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        return next((words for reason, words in _OPENSSL.items() if reason in str(error)), str(error))
    except (OSError, ValueError) as error:
        return str(error)
    return ""
