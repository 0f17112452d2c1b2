"""Files that name package repositories, of apt (one line or deb822) and of dnf: who names an address, and without whom.

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
    kept = [
        ""
        if any(names_it(found.split()) for found in re.findall(pattern, part, re.MULTILINE | re.IGNORECASE))
        else part
        for part in parts
    ]
    return text if kept == parts else "".join(kept).strip("\n") + "\n" * any(part.strip() for part in kept)


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


def repo(name: str, description: str, url: str, key: str) -> str:
    """A source of dnf, as RHEL 9 reads it."""
    return f"[{name}]\nname={description}\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey=file://{key}\n"
