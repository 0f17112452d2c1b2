# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and a port as one word: IPv6 in brackets (RFC 3986, 3.2.2). Pure; private to this collection."""

from __future__ import annotations

from typing import Union

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""What a program listens on when it does on every address → how it is reached on its own machine."""


def bracketed(host: str) -> str:
    """
    >>> bracketed("fd00::1"), bracketed("n1")
    ('[fd00::1]', 'n1')
    """
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: Union[int, str]) -> str:  # noqa: UP007 - Python 3.9
    """
    >>> host_port("fd00::1", 80), host_port("192.0.2.1", 80)
    ('[fd00::1]:80', '192.0.2.1:80')
    """
    return f"{bracketed(host)}:{port}"


def on_this_machine(listens: str) -> str:
    """The host by which a program is reached where it runs.

    >>> on_this_machine("::"), on_this_machine("192.0.2.1")
    ('::1', '192.0.2.1')
    """
    return EVERYWHERE.get(listens, listens)
