# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs for a node, made of these very utils. Pure; private to this collection.

A util travels to a node with each module that imports it. Where a program must outlive the module, it is copied: the entry
and every util that it imports, at the same places below a package of the program's own name.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import PurePosixPath
from types import ModuleType

_ROOT = __name__.rpartition(".")[0].rpartition(".")[0]  # module_utils of this collection


def files(entry: ModuleType, package: str) -> dict[str, str]:
    """Path below ``PYTHONPATH`` → text, for the program that ``python3 -m`` runs by the name from `main`.

    entry: a util that ends with ``if __name__ == "__main__"``. The caller imports it at module level, so that Ansible packs it,
    and what it imports. package: the program's own name, e.g. ``fullrank_supervisor``.
    """
    texts: dict[str, str] = {}
    waiting = [entry.__name__]
    while waiting:
        name = waiting.pop()
        path = PurePosixPath(package, *name.removeprefix(f"{_ROOT}.").split(".")).with_suffix(".py")
        if str(path) in texts:
            continue
        text = inspect.getsource(sys.modules[name])
        texts |= {str(folder / "__init__.py"): "" for folder in path.parents if folder.name}
        texts[str(path)] = text.replace(f"from {_ROOT}", f"from {package}")
        waiting += _imported(text)
    return dict(sorted(texts.items()))


def main(entry: ModuleType, package: str) -> str:
    """The name by which ``python3 -m`` runs the program, e.g. ``fullrank_supervisor.supervisor.agent``."""
    return f"{package}{entry.__name__.removeprefix(_ROOT)}"


def text(entry: ModuleType) -> str:
    """The text of a program that is one file, for it imports no other util."""
    return inspect.getsource(entry)


def _imported(source: str) -> list[str]:
    """Full names of the utils that a text imports at its top."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_ROOT}."):
            names = [f"{node.module}.{one.name}" for one in node.names]
            found += [name if name in sys.modules else str(node.module) for name in names]
    return found
