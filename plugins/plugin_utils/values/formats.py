# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What texts must look like that name something: addresses, paths, images, versions, keys. Pure; private to this collection.

A format tells what is wrong with a text in words that can follow ``is``, what to write, and, where it can be known, the text
itself, which the same format accepts. `plugin_utils.values.addresses` has those that name machines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.node import system_paths
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import addresses
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.addresses import Wrong

IMAGE = re.compile(
    r"(?:[a-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?/)?"  # registry
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"  # name
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"  # tag, digest
)
"""A reference of an image (github.com/distribution/reference, its grammar)."""
VERSION = re.compile(r"v?\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*(\+[A-Za-z0-9.]+)?")
"""A version of a package (PEP 440, without its rarer spellings)."""
BEGINNING = re.compile(r"(\d+:)?\d[A-Za-z0-9.+~:-]*")
"""A version of a package of the distribution, or the beginning of one (deb-version(7))."""
DURATION = re.compile(r"(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m(?!s))?(\d+s)?(\d+ms)?")
"""A time in Prometheus' words (prometheus.io, Configuration, <duration>)."""
BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What may stand after ``Authorization: Bearer`` (RFC 6750 section 2.1, b64token)."""
SHORTEST_KEY = 8
"""Characters; NIST SP 800-63B-4 (section 3.1.1) takes no shorter password in any use. A key that is made has 43."""
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
INTERFACE = re.compile(r"[^\s/:\"'\\$%]{1,15}")
"""What the kernel takes (dev_valid_name: at most 15 bytes, no white space, / and :), without what a shell reads."""


class Format(NamedTuple):
    """One format. check: of the text and the names that the inventory gives machines. example: what the format accepts."""

    meaning: str
    example: str
    check: Callable[[str, addresses.Names], Wrong | None]


def _pattern(pattern: re.Pattern[str], message: str, remedy: str) -> Callable[[str, addresses.Names], Wrong | None]:
    """The check of a text by a regular expression."""

    def check(text: str, _names: addresses.Names) -> Wrong | None:
        return None if pattern.fullmatch(text) else Wrong(message, remedy)

    return check


def one_line(text: str, _names: addresses.Names) -> Wrong | None:
    """No control character: every text ends in a unit, a command line or a file of lines."""
    if not re.search(r"[\x00-\x1f\x7f]", text):
        return None
    return Wrong("is more than one line, or has control characters", "write one line of text")


def path(text: str, names: addresses.Names) -> Wrong | None:
    """A whole path on a node that units, containers and commands can carry."""
    remedy = "write a whole path that begins with /"
    if wrong := one_line(text, names):
        return wrong
    if text.startswith("~"):
        return Wrong("begins with ~, which only a shell expands", remedy)
    if not text.startswith("/"):
        return Wrong("is no whole path", remedy)
    if ".." in text.split("/"):
        return Wrong("has .. in it", f"write {_without_dots(text)}", _without_dots(text))
    if text != text.strip() or ":" in text or '"' in text or "\\" in text:
        return Wrong(
            "has a colon, a quote, a backslash or white space at an end, which no mount can carry", "rename the folder"
        )
    return None


def folder(text: str, names: addresses.Names) -> Wrong | None:
    """A path that is not the root of all."""
    if wrong := path(text, names):
        return wrong
    return Wrong("is the root of the file system", "write a folder below it") if not text.strip("/") else None


def plain_folder(text: str, names: addresses.Names) -> Wrong | None:
    """A folder whose name no unit reads in another way: systemd starts no program whose path has a quote in it."""
    if wrong := folder(text, names):
        return wrong
    if re.fullmatch(r"[\w./@+=,-]+", text, re.ASCII):
        return None
    return Wrong(
        "has characters that a unit reads in another way, such as white space, quotes or %", "rename the folder"
    )


def data_folder(text: str, names: addresses.Names) -> Wrong | None:
    """A folder that a service gets for itself."""
    if wrong := folder(text, names):
        return wrong
    why = system_paths.reserved(text)
    return Wrong(why, "write one of its own, such as /data/folder") if why else None


def _without_dots(text: str) -> str:
    parts: list[str] = []
    for part in text.split("/")[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def volume(text: str, names: addresses.Names) -> Wrong | None:
    """What a mount begins with: a path of the node, or a volume's name."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        return None
    wrong = path(text, names)
    return wrong and Wrong(wrong.message, "write a whole path on the node, or the name of a volume")


def model(text: str, names: addresses.Names) -> Wrong | None:
    """The folder of the weights; a name at a hub is another variable's."""
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", text):
        return Wrong("is a name at a hub", f"write a folder on the nodes, and model_repo: {text}", f"/models/{text}")
    return folder(text, names)


def image(text: str, _names: addresses.Names) -> Wrong | None:
    """A reference of an image."""
    if IMAGE.fullmatch(text):
        return None
    remedy = "write registry/name:tag or registry/name@sha256:DIGEST"
    if "://" in text:
        bare = text.split("://", 1)[1]
        return Wrong(
            "begins with a scheme, which no image has", f"write {bare}", bare if IMAGE.fullmatch(bare) else None
        )
    if "@sha256:" in text:
        return Wrong("has a digest that is not 64 hexadecimal digits after sha256:", remedy)
    name, colon, tag = text.rpartition(":")
    if colon and name != name.lower() and IMAGE.fullmatch(f"{name.lower()}:{tag}"):
        lower = f"{name.lower()}:{tag}"
        return Wrong("has capital letters in its name, which no registry takes", f"write {lower}", lower)
    return Wrong("is no reference of an image", remedy)


def version(text: str, _names: addresses.Names) -> Wrong | None:
    """An exact version of a Python package."""
    return None if VERSION.fullmatch(text) else Wrong("is no version", "write an exact one, in quotes, such as 0.11.2")


def model_name(text: str, _names: addresses.Names) -> Wrong | None:
    """The name by which clients call a model; it stands in requests, labels and configurations."""
    if MODEL_NAME.fullmatch(text):
        return None
    bare = re.sub(r"[^A-Za-z0-9._:/@+-]+", "-", text).strip("-._:/@+")
    remedy = f"write letters, digits and ._:/@+-, such as {bare or 'my-model'}"
    return Wrong("cannot name a model in requests and metrics", remedy, bare or "my-model")


def model_names(text: str, names: addresses.Names) -> Wrong | None:
    """Names with blanks between them: the first wrong one."""
    return next((wrong for one in text.split() or [text] if (wrong := model_name(one, names))), None)


def key(text: str, _names: addresses.Names) -> Wrong | None:
    """A key of an API. Its value is never part of a message."""
    if not BEARER.fullmatch(text):
        what = "white space or a line break" if re.search(r"\s", text) else "characters"
        end = "" if what != "characters" else " (RFC 6750 has letters, digits and -._~+/)"
        return Wrong(f"has {what} that no Authorization header can carry", f"write another key{end}")
    if len(text) < SHORTEST_KEY:
        return Wrong(f"has {len(text)} characters", f"write {SHORTEST_KEY} or more, or leave it out to have one made")
    return None


def password(text: str, names: addresses.Names) -> Wrong | None:
    """A password of Open WebUI, which hashes by bcrypt: 72 bytes at most."""
    if len(text.encode()) > 72:
        return Wrong("has more than 72 bytes, and Open WebUI takes no more", "write a shorter one")
    return one_line(text, names)


FORMATS: Mapping[str, Format] = {
    "line": Format("one line of text", "text", one_line),
    "path": Format("a whole path on the node", "/data/file", path),
    "folder": Format("a whole path on the node", "/data/folder", folder),
    "plain-folder": Format("a whole path on the node, of letters, digits and ./@+=,_-", "/opt/folder", plain_folder),
    "data-folder": Format("a whole path on the node, of a folder of its own", "/data/folder", data_folder),
    "controller-path": Format("a path on the controller", "~/folder", one_line),
    "volume": Format("a whole path on the node, or the name of a volume", "/data", volume),
    "model": Format("a whole path on the nodes", "/data/models/r1", model),
    "image": Format("registry/name:tag or registry/name@sha256:DIGEST", "docker.io/vllm/vllm-openai:v0.11.2", image),
    "version": Format("an exact version", "0.11.2", version),
    "three-numbers": Format(
        "an exact version of three numbers",
        "0.12.4",
        _pattern(re.compile(r"\d+\.\d+\.\d+"), "is not three numbers", "write an exact version such as 0.12.4"),
    ),
    "two-numbers": Format(
        "two numbers with a point",
        "12.8",
        _pattern(re.compile(r"\d{1,3}\.\d{1,2}"), "is not two numbers with a point", "write such as 12.8"),
    ),
    "beginning": Format(
        "a version, or the beginning of one",
        "28.5",
        _pattern(BEGINNING, "is no version and no beginning of one", "write one, in quotes, such as 28.5.2 or 28"),
    ),
    "sha256": Format(
        "64 hexadecimal digits",
        "0" * 64,
        _pattern(re.compile(r"[0-9a-f]{64}"), "is no sha256", "write 64 hexadecimal digits, in small letters"),
    ),
    "fingerprints": Format(
        "40 hexadecimal digits, several with commas",
        "A" * 40,
        _pattern(
            re.compile(r"[0-9A-Fa-f]{40}(\s*,\s*[0-9A-Fa-f]{40})*"),
            "is no fingerprint of a key",
            "write its 40 hexadecimal digits without spaces",
        ),
    ),
    "duration": Format(
        "a number with its unit, such as 15s or 30d",
        "15s",
        _pattern(DURATION, "is no duration of Prometheus", "write a number with its unit (s, m, h, d, w, y): 15s, 30d"),
    ),
    "model-name": Format("letters, digits and ._:/@+-", "deepseek-r1", model_name),
    "model-names": Format("such names, with blanks between them or in a list", "deepseek-r1 gpt-4", model_names),
    "key": Format(f"at least {SHORTEST_KEY} letters, digits and -._~+/", "sk-0123456789abcdef", key),
    "password": Format("72 bytes at most", "long-enough", password),
    "email": Format(
        "a mail address",
        "admin@example.com",
        _pattern(re.compile(r"[^@\s]+@[^@\s]+"), "is no mail address", "write one, such as admin@example.com"),
    ),
    "word": Format(
        "one word",
        "word",
        _pattern(re.compile(r"[\w./:+@=-]+"), "is not one word", "write letters, digits and ._-/:+@= without spaces"),
    ),
    "interface": Format(
        "the name of an interface",
        "eth0",
        _pattern(INTERFACE, "cannot be the name of an interface", "write one as `ip link` shows it, such as eth0"),
    ),
    **{name: Format(*one) for name, one in addresses.FORMATS.items()},
}


@dataclass(frozen=True)
class Rule:
    """How a role names a format: with ``?`` at its end the text may be empty."""

    format: Format
    may_be_empty: bool


def rule(name: str) -> Rule:
    """The rule of a name. ValueError: there is no such format."""
    bare = name.removesuffix("?")
    if bare not in FORMATS:
        raise ValueError(f"{name!r} is no format: {', '.join(FORMATS)}")
    return Rule(FORMATS[bare], name.endswith("?"))
