# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes secrets out of text that people will send to each other. Pure; private to this collection.

Twofold: values that are known to be secret wherever they stand, and what looks like a secret to somebody who knows none.
Rather one word too many is taken out than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

GONE = "(redacted)"
# shorter values would be found inside other words; they are taken out where the name in front of them marks them
SHORTEST = 6

# the end of a name that holds a secret: api_key, HF_TOKEN, --api-key, registryPassword; not max_tokens, key_value, token_id
_NAME = r"(?:[\w-]*(?:key|token|password|passwd|passphrase|secret|credentials?|authorization))"
_SECRET_NAME = re.compile(rf"(?i)^{_NAME}$")
_VALUE = r"""(?:\(redacted\)|"[^"\n]*"|'[^'\n]*'|[^\s,;"')}\]]+)"""

_PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), GONE),
    (re.compile(r"\$ANSIBLE_VAULT;[^\n]*(?:\n\s*[0-9a-f]+)*"), GONE),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{6,}"), rf"\1{GONE}"),
    # a URL with a password
    (re.compile(r"(\b[a-zA-Z][\w+.-]*://[^\s/:@]*:)[^\s/@]+@"), rf"\1{GONE}@"),
    # name=value, name: value, "name": "value", --name value
    (re.compile(rf"(?i)(?<![\w-])((?:--)?{_NAME}[\"']?\s*[=:]\s*){_VALUE}"), rf"\1{GONE}"),
    (re.compile(rf"(?i)(--{_NAME}[\"']?,?\s+){_VALUE}"), rf"\1{GONE}"),
    # tokens that tell by their form whose they are: OpenAI style, Hugging Face, ModelScope, GitHub, GitLab, AWS, JSON web tokens
    (
        re.compile(
            r"\b(?:sk-[\w-]{8,}|hf_[A-Za-z0-9]{16,}|ms-[0-9a-f]{8}-[0-9a-f-]{20,}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}"
            r"|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
        ),
        GONE,
    ),
)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return _SECRET_NAME.match(name) is not None


def secrets_of_file(text: str) -> list[str]:
    """The values of a file of secrets: ``NAME=value`` or ``name: "value"``, one in each line."""
    values = (re.split(r"[=:]", line, maxsplit=1)[-1].strip().strip("\"'") for line in text.splitlines())
    return [value for value in values if value]


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without the ``secrets`` and without what looks like one."""
    for secret in sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, GONE)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def secrets_in(value: Any, name: str = "") -> list[str]:
    """The secrets of a tree of variables, found by their names."""
    if isinstance(value, dict):
        return [secret for key, one in value.items() for secret in secrets_in(one, str(key))]
    if isinstance(value, (list, tuple)):
        return [secret for one in value for secret in secrets_in(one, name)]
    return [str(value)] if isinstance(value, str) and value and is_secret_name(name) else []
