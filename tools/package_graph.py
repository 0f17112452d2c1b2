# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of the utils and what they import of each other: ``python -m tools.package_graph``.

Prints the graph in Mermaid's syntax and ends with 1 and a line for each fault: an arrow that points upward, a circle between
files of one package, a package that `ORDER` does not name, a loose file beside the packages, code in an ``__init__.py``, a
relative import, a plugin that imports another plugin or a module that imports what stays on the controller.
``--write`` puts the graph into docs/architecture.md.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs/architecture.md"
PREFIX = "ansible_collections.fullrank.serving.plugins."

ORDER = {
    "module_utils": (
        *("common", "systemd", "node", "packages", "docker", "nvidia", "rdma", "host_tuning", "weights", "endpoint"),
        *("rank", "comm_check", "preflight", "diagnose", "supervisor", "router", "webui"),
    ),
    "plugin_utils": (
        *(
            "common",
            "values",
            "catalog",
            "memory",
            "inventory",
            "nccl",
            "launch",
            "plan",
            "report",
            "diagnosis",
            "actions",
        ),
    ),
}
"""Lowest first: a package imports from those before it only. What travels to nodes never imports what stays on the controller."""

PLUGINS = ("action", "callback", "filter", "inventory", "lookup", "modules", "test")
"""The kinds of plugins above the utils. None imports another one; modules travel to nodes."""

Arrows = dict[tuple[str, str], set[str]]
"""(from, to) → the files that import, both as ``kind/package``."""


def sources(plugins: Path) -> dict[str, str]:
    """Path below ``plugins``, without its suffix → text, of each util and plugin; an empty ``__init__.py`` is left out."""
    texts = {
        path.relative_to(plugins).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for kind in (*ORDER, *PLUGINS)
        for path in sorted((plugins / kind).rglob("*.py"))
    }
    return {path: text for path, text in texts.items() if not path.endswith("/__init__") or ast.parse(text).body}


def imports(files: Mapping[str, str]) -> dict[str, set[str]]:
    """File → the files that it imports, by the names from `sources`."""
    found: dict[str, set[str]] = {}
    for path, text in files.items():
        found[path] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                named = [one.name for one in node.names if one.name.startswith(PREFIX)]
                found[path] |= {name.removeprefix(PREFIX).replace(".", "/") for name in named}
            elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(PREFIX):
                module = f"{node.module}.".removeprefix(PREFIX).strip(".").replace(".", "/")
                found[path] |= (
                    {module} if module in files else {f"{module}/{one.name}".strip("/") for one in node.names}
                )
    return found


def is_relative(text: str) -> bool:
    """Whether a text has a relative import, which AnsiballZ does not carry in every place and this graph does not follow."""
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(ast.parse(text)))


def package(path: str) -> str:
    """``kind/package`` of a file; packages inside a package are parts of it."""
    return "/".join(path.split("/")[:2])


def arrows(found: Mapping[str, Iterable[str]]) -> Arrows:
    between: Arrows = {}
    for path, targets in found.items():
        for target in targets:
            if package(target) != package(path):
                between.setdefault((package(path), package(target)), set()).add(path)
    return between


def faults(files: Mapping[str, str]) -> list[str]:
    """One line for each fault; none when all arrows point downward."""
    utils = {path: text for path, text in files.items() if path.split("/")[0] in ORDER}
    found = imports(utils)
    rank = {f"{kind}/{name}": place for kind in ORDER for place, name in enumerate(ORDER[kind])}
    lines = [f"{path}.py lies beside the packages: put it into one" for path in utils if path.count("/") < 2]
    lines += [f"{path}.py has code: an __init__.py has none" for path in files if path.endswith("/__init__")]
    lines += [f"{path}.py has a relative import: write the whole name" for path in files if is_relative(files[path])]
    lines += _plugin_faults(files)
    lines += [
        f"{name} is not in ORDER of tools/package_graph.py"
        for name in sorted({package(path) for path in utils if path.count("/") > 1} - set(rank))
    ]
    for (one, other), where in sorted(arrows(found).items()):
        if one.startswith("module_utils") and other.startswith("plugin_utils"):
            lines.append(f"{one} travels to nodes and imports {other}: {', '.join(sorted(where))}")
        elif one.split("/")[0] == other.split("/")[0] and rank.get(one, 0) <= rank.get(other, 0):
            lines.append(f"{one} imports {other}, which is above it: {', '.join(sorted(where))}")
    return [*lines, *(f"circle: {' -> '.join(circle)}" for circle in _circles(found))]


def _plugin_faults(files: Mapping[str, str]) -> list[str]:
    lines = []
    for path, targets in imports(files).items():
        kind = path.split("/")[0]
        for target in sorted(targets):
            other = target.split("/")[0]
            if other in PLUGINS:
                lines.append(f"{path} imports the plugin {target}: put what both need into a util")
            elif kind == "modules" and other == "plugin_utils":
                lines.append(f"{path} travels to nodes and imports {target}, which stays on the controller")
    return lines


def _circles(found: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Circles among the files of a package, and among the folders in it."""
    folders: dict[str, set[str]] = {}
    for path, targets in found.items():
        here = path.rpartition("/")[0]
        folders.setdefault(here, set()).update(one.rpartition("/")[0] for one in targets)
        folders[here].discard(here)
    return [circle for graph in (found, folders) if (circle := _circle(graph))]


def _circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        done.add(node)
        for target in sorted(graph.get(node, ())):
            if circle := walk(target, [*path, node]):
                return circle
        return []

    return next((circle for node in sorted(graph) if (circle := walk(node, []))), [])


def picture(files: Mapping[str, str]) -> str:
    """The graph as a Mermaid flowchart, the highest package first."""
    between = arrows(imports({path: text for path, text in files.items() if path.split("/")[0] in ORDER}))
    lines = ["flowchart TD"]
    for kind, names in ORDER.items():
        lines += [f"  subgraph {kind}", *(f"    {kind}/{name}[{name}]" for name in reversed(names)), "  end"]
    return "\n".join([*lines, *(f"  {one} --> {other}" for one, other in sorted(between))]) + "\n"


def with_picture(page: str, graph: str) -> str:
    """The page with ``graph`` as its Mermaid block."""
    return re.sub(r"(?<=```mermaid\n).*?(?=```)", lambda _block: graph, page, count=1, flags=re.DOTALL)


def main() -> int:
    files = sources(CHECKOUT / "plugins")
    found = faults(files)
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    if "--write" in sys.argv:
        PAGE.write_text(with_picture(PAGE.read_text(encoding="utf-8"), picture(files)), encoding="utf-8")
    print(picture(files), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
