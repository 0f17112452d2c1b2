# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that name package repositories, of apt (one line or deb822) and of dnf: those of one address, and the file without them.

PRIVATE to this collection.
"""

from __future__ import annotations

import re


def _address(url: str) -> str:
    """What makes two addresses the same repository: not the scheme, not slashes at the end."""
    return re.sub(r"^[a-z+]+://", "", url.strip()).rstrip("/")


def without(text: str, name: str, url: str) -> str:
    """The content of a source file without entries of the repository ``url`` (and what lies below it).

    name: the file's name, which tells its format: ``.list``, ``.sources`` or ``.repo``. Unchanged when it names it nowhere.

    >>> without("deb https://a/x y z\\n# mine\\ndeb http://b/ y z\\n", "x.list", "http://a/x/")
    '# mine\\ndeb http://b/ y z\\n'
    """
    wanted = _address(url)

    def names_it(words: list[str]) -> bool:
        return any((_address(word) + "/").startswith(wanted + "/") for word in words)

    if name.endswith(".list"):
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if not (re.match(r"\s*deb(-src)?\s", line) and names_it(line.split())))
    # (?m) keeps the separators: a paragraph ends at an empty line, a section before the next "["
    parts = (
        re.split(r"(\n\s*\n)", text) if name.endswith(".sources") else re.split(r"(^(?=\[))", text, flags=re.MULTILINE)
    )
    pattern = r"^URIs:(.*(?:\n[ \t].*)*)" if name.endswith(".sources") else r"^(?:baseurl|mirrorlist|metalink)\s*=(.*)"
    remaining = [
        ""
        if any(names_it(found.split()) for found in re.findall(pattern, part, re.MULTILINE | re.IGNORECASE))
        else part
        for part in parts
    ]
    return (
        text if remaining == parts else "".join(remaining).strip("\n") + "\n" * any(part.strip() for part in remaining)
    )


def entries(text: str, name: str) -> list[dict[str, str]]:
    """What a source file of apt offers: a row of ``uri``, ``suite``, ``component`` and ``signed_by`` ("" where it names no key)
    for each component of binary packages. ``apt-get indextargets`` lists only repositories that were read already.

    >>> entries("deb [signed-by=/k.gpg] http://m/debian trixie main contrib", "x.list")[1]
    {'uri': 'http://m/debian', 'suite': 'trixie', 'component': 'contrib', 'signed_by': '/k.gpg'}
    """
    found = []
    for types, uris, suites, components, signed_by in _sources(text, name):
        if "deb" in types.split():
            found += [
                {"uri": uri, "suite": suite, "component": component, "signed_by": signed_by}
                for uri in uris.split()
                for suite in suites.split()
                for component in components.split()
            ]
    return found


def _sources(text: str, name: str) -> list[tuple[str, str, str, str, str]]:
    """Types, URIs, suites, components and key of each entry, as they stand there."""
    if name.endswith(".list"):
        rows = re.findall(r"^\s*(deb(?:-src)?)\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)([^#\n]*)", text, re.MULTILINE)
        keys = [re.search(r"signed-by=(\S+)", options) for _unused, options, *_unused in rows]
        return [
            (kind, uri, suite, components, key.group(1) if key else "")
            for (kind, _unused, uri, suite, components), key in zip(rows, keys)  # noqa: B905 - strict is not known to Python 3.9
        ]
    found = []
    for part in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", part, re.MULTILINE))
        field = {key.lower(): value for key, value in fields.items()}
        if field.get("enabled", "yes").strip().lower() not in ("no", "false", "0"):
            names = ("types", "uris", "suites", "components", "signed-by")
            types, uris, suites, components, key = (field.get(one, "") for one in names)
            found.append((types, uris, suites, components, key.rstrip()))
    return found


def deb822(url: str, suite: str, components: list[str], key: str, architecture: str) -> str:
    """A source of apt. ``suite`` ends with ``/`` for a flat repository, which has no components."""
    rows = {
        "Types": "deb",
        "URIs": url,
        "Suites": suite,
        "Components": " ".join(components),
        "Architectures": architecture,
        "Signed-By": key,
    }
    return "".join(f"{name}: {value}\n" for name, value in rows.items() if value)


def repo(name: str, description: str, url: str, key: str, signed: str) -> str:
    """A source of dnf, as RHEL 9 reads it. ``signed``: what the vendor signs, ``packages`` or ``metadata``."""
    checks = "gpgcheck=1\n" if signed == "packages" else "gpgcheck=0\nrepo_gpgcheck=1\n"
    return f"[{name}]\nname={description}\nbaseurl={url}\nenabled=1\n{checks}gpgkey=file://{key}\n"
