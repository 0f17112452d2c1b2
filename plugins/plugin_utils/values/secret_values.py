# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values of variables may hold a secret, so that no message shows them. Pure; private to this collection.

By what the variable is called, by its place in the specification, and by what the value looks like; rather one value too many is
hidden than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.diagnose import redact

Option = Mapping[str, Any]
HIDDEN = "its value (not shown)"
SHORTEST = 6
"""Characters of a secret that is searched for in messages; shorter ones are parts of other words."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/@\s?#]+@([^/@\s?#]+(/[^@\s?#;&=]*)?)")
"""A URL whose user and password end for certain where its host begins."""
_BY_CONTENT = re.compile(r"@(?!sha256:)|[?&;#][\w.-]+=|-----BEGIN|(^|\s)(bearer|basic)\s", re.IGNORECASE)
_NAME = re.compile(r"(keys|secrets|credentials|passwords|pass|pwd)$", re.IGNORECASE)


def secret_name(name: str) -> bool:
    """Whether a variable, or a part of one, has a name as secrets have them.

    >>> [secret_name(one) for one in ("engine_api_key", "HF_TOKEN", "router_keys", "max_tokens", "engine_port")]
    [True, True, True, False, False]
    """
    return redact.is_secret_name(name) or bool(_NAME.search(name))


def secret_option(option: Option) -> bool:
    """Whether a value of an option may hold a secret as a whole: by ``no_log``, by a part that has it, or because it may hold
    anything. A list or a mapping of the wrong form is shown as a whole, or not at all.
    """
    if option.get("no_log"):
        return True
    if option.get("options") is not None:
        return any(secret_option(one) for one in option["options"].values())
    return option.get("type") == "dict" or option.get("elements") == "dict"


def looks_secret(text: str) -> bool:
    """Whether a text may hold a password or a token, by its form: ``user:password@host``, a query, ``NAME_TOKEN=…``."""
    return bool(_BY_CONTENT.search(text)) or redact.redact(text) != text


def masked(text: str) -> str | None:
    """A URL without its user and password; None where it cannot be known for certain where they end.

    >>> masked("https://me:pw@host/x"), masked("me:pw@host"), masked("https://me:p/w@host")
    ('https://***@host/x', None, None)
    """
    found = _URL.fullmatch(text)
    return f"{found[1]}***@{found[2]}" if found and not looks_secret(found[2]) else None


def known(value: Any, option: Option | None = None, *, secret: bool = False) -> Iterator[str]:
    """The secrets in a variable's value, by names and by the specification; also where it has the wrong form."""
    option = option or {}
    secret = secret or bool(option.get("no_log"))
    options = option.get("options") or {}
    if isinstance(value, Mapping):
        for name, one in value.items():
            if secret or looks_secret(str(name)):  # swapped with its value, or written together with it
                yield str(name)
            yield from known(one, options.get(name), secret=secret or secret_name(str(name)))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from known(one, {**option, "type": option.get("elements", "raw")}, secret=secret)
    elif secret and not isinstance(value, bool) and len(str(value)) >= SHORTEST:
        yield str(value)


def without(text: str, secrets: Iterable[str]) -> str:
    """A message without secrets that are known, whole or by their lines."""
    pieces = {piece for one in secrets for piece in (one, *re.split(r"[\s=]+", one)) if len(piece) >= SHORTEST}
    for piece in sorted(pieces, key=len, reverse=True):
        text = text.replace(piece, "***")
    return text


def clean(value: Any, secrets: Collection[str]) -> Any:
    """A finding, or a part of one, without secrets that are known."""
    if isinstance(value, str):
        return without(value, secrets)
    if isinstance(value, Mapping):
        return {name: clean(one, secrets) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(one, secrets) for one in value]
    return value
