# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that name machines and what they serve: addresses, networks, names, URLs. Pure; private to this collection."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

Names = frozenset[str]
"""What the inventory calls its machines: names and ``ansible_host``."""

LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME = re.compile(rf"(?=.{{1,253}}\.?$){LABEL}(?:\.{LABEL})*\.?")
"""A name of a machine (RFC 1123 section 2.1; RFC 1035 section 2.3.4 has the lengths), with the _ that many sites use."""


class Wrong(NamedTuple):
    """What is wrong with a text. instead: one that is accepted, None where it cannot be known."""

    message: str
    remedy: str
    instead: Any = None


def is_address(text: str) -> bool:
    """Whether a text is an IP address without brackets, zone and prefix."""
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def is_name(text: str) -> bool:
    """Whether a text can be a machine's name; numbers with dots are addresses, good ones or bad ones."""
    return bool(NAME.fullmatch(text)) and not re.fullmatch(r"[\d.]+", text)


def _spelling(text: str) -> Wrong | None:
    """What people write around an address."""
    bare = text.strip()
    remedy = "write the address alone"
    if bare != text and (is_address(bare) or is_name(bare)):
        return Wrong("has white space around it", f"write {bare}", bare)
    if re.fullmatch(r"\[[0-9A-Fa-f:.]+\]", text) and is_address(text[1:-1]):
        return Wrong("has brackets, which only a URL has", f"write {text[1:-1]}", text[1:-1])
    if "://" in text:
        host = _host(text)
        return Wrong("is a URL", f"write {host}" if host else remedy, host or None)
    if (found := re.fullmatch(r"(.+):(\d+)", text)) and ":" not in found[1] and _names_a_machine(found[1]):
        return Wrong("has a port, which is a variable of its own", f"write {found[1]}", found[1])
    if "/" in text and is_address(text.partition("/")[0]):
        bare = text.partition("/")[0]
        return Wrong("has a prefix length, which networks have", f"write {bare}", bare)
    if "%" in text:
        return Wrong("has a zone and is valid on one link only", "write a global address")
    return None


def _host(text: str) -> str:
    try:
        host = urlsplit(text).hostname or ""
    except ValueError:
        return ""
    return host if _names_a_machine(host) else ""


def _names_a_machine(text: str) -> bool:
    return is_address(text) or is_name(text)


def address(text: str, _names: Names) -> Wrong | None:
    """An IP address."""
    if is_address(text):
        return None
    return _spelling(text) or Wrong("is no IP address", "write one, such as 192.0.2.10 or 2001:db8::10")


def host(text: str, _names: Names) -> Wrong | None:
    """How a machine is reached: an address or a name."""
    if _names_a_machine(text):
        return None
    return _spelling(text) or Wrong("is neither an address nor a name", "write an IP address, or a name as DNS has it")


def listen(text: str, names: Names) -> Wrong | None:
    """Where something listens. A word without a dot that is no machine of the inventory is more often an interface's name."""
    if is_address(text) or text in names or text == "localhost" or (is_name(text) and "." in text):
        return None
    remedy = "write 0.0.0.0, or an address of the machine"
    return _spelling(text) or Wrong("is no address to listen on", remedy, "0.0.0.0")


def network(text: str, _names: Names) -> Wrong | None:
    """A network in CIDR, its own address and no other of it."""
    remedy = "write it as CIDR, such as 10.0.0.0/24"
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return Wrong("is no network", remedy)
    if "/" not in text:
        return Wrong("is an address, not a network", remedy)
    if str(ipaddress.ip_interface(text).ip) != str(found.network_address):
        return Wrong("is an address in a network", f"write {found}", str(found))
    if found.prefixlen == 0:
        return Wrong("holds every address", remedy)
    return None


class Url(NamedTuple):
    """Which URLs a format takes. file: also a folder of the machine, ``file:///folder``. secret: a user and a password.
    socket: also one without a machine, whose ``host`` in the query is the folder of a socket. (Such a folder, percent-encoded, in
    the place of the machine is for libpq alone: SQLAlchemy 2.0, "Unix Domain Connections", has the query.)
    """

    schemes: tuple[str, ...]
    example: str
    file: bool = False
    secret: bool = False
    socket: bool = False

    def check(self, text: str, _names: Names) -> Wrong | None:
        """What is wrong with a text as one of them."""
        remedy = f"write one such as {self.example}"
        if re.search(r"[\s\x00-\x1f\"'<>\\{}`]", text):
            return Wrong("has white space, quotes or braces in it", remedy)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return Wrong("is no URL: its host or its port cannot be read", remedy)
        if self.file and parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            return None
        if parts.scheme not in self.schemes:
            bare = f"https://{text}"
            fits = "://" not in text and "https" in self.schemes and _names_a_machine(_host(bare))
            named = " or ".join(f"{one}://" for one in self.schemes)
            return Wrong(f"does not begin with {named}", f"write {bare}" if fits else remedy, bare if fits else None)
        if self.socket and _socket_folder(parts):
            return None
        if port == 0 or not _names_a_machine(parts.hostname or ""):
            return Wrong("names no host that there can be", remedy)
        if (parts.username or parts.password) and not self.secret:
            bare = text.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
            return Wrong("has a user or a password in it, which others would see", f"write {bare}", bare)
        return None


def _socket_folder(parts: SplitResult) -> bool:
    """Whether the server is reached by a socket in a folder of its machine."""
    return not parts.hostname and dict(parse_qsl(parts.query)).get("host", "").startswith("/")


def registry(text: str, _names: Names) -> Wrong | None:
    """A registry of images, with a folder in it: no scheme."""
    if "://" in text:
        bare = urlsplit(text).netloc.rpartition("@")[2] + urlsplit(text).path.rstrip("/")
        return Wrong("is a URL, and images begin with a host", f"write {bare}", bare)
    if re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?(/[a-z0-9._-]+)*", text):
        return None
    return Wrong("is no registry", "write host/folder or host:port, without a scheme and a slash at the end")


def host_port(text: str, _names: Names) -> Wrong | None:
    """``host:port``, IPv6 in brackets."""
    try:
        parts: SplitResult | None = urlsplit(f"//{text}")
        port = parts.port if parts else None
    except ValueError:
        parts, port = None, None
    if parts and port and parts.netloc == text and "@" not in text and _names_a_machine(parts.hostname or ""):
        return None
    return Wrong("is no host:port", "write such as alert.example.com:9093")


WEB = Url(("https", "http"), "https://chat.example.com")
REPOSITORY = Url(("https", "http"), "https://mirror.example/folder", file=True)
PROXY = Url(("http", "https", "socks5"), "http://proxy.example:3128", secret=True)
POSTGRESQL = Url(("postgresql",), "postgresql://user@db.example/name", secret=True, socket=True)

FORMATS: dict[str, tuple[str, str, Callable[[str, Names], Wrong | None]]] = {
    "address": ("an IP address", "192.0.2.10", address),
    "host": ("an IP address or a name", "192.0.2.10", host),
    "listen": ("an address to listen on", "0.0.0.0", listen),
    "network": ("a network (CIDR)", "10.0.0.0/24", network),
    "url": ("http:// or https://, without a password", WEB.example, WEB.check),
    "repository": ("http://, https:// or file:///, without a password", REPOSITORY.example, REPOSITORY.check),
    "proxy": ("http:// or https://", PROXY.example, PROXY.check),
    "postgresql": ("postgresql://", POSTGRESQL.example, POSTGRESQL.check),
    "registry": ("a registry, host/folder, without a scheme", "mirror.example/hub", registry),
    "host-port": ("host:port", "alert.example.com:9093", host_port),
}
