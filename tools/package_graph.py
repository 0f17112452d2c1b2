# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of the utils and what they import of each other: ``python -m tools.package_graph``.

Prints the graph in Mermaid's syntax and ends with 1 and a line for each fault: an arrow that points upward, a circle between
files of one package, a package that `ORDER` does not name, a loose file beside the packages.
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
            "inventory",
            "memory",
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

Arrows = dict[tuple[str, str], set[str]]
"""(from, to) → the files that import, both as ``kind/package``."""


def sources(plugins: Path) -> dict[str, str]:
    """Path below ``plugins``, without its suffix → text, of each util."""
    return {
        path.relative_to(plugins).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for kind in ORDER
        for path in sorted((plugins / kind).rglob("*.py"))
        if path.name != "__init__.py"
    }


def imports(files: Mapping[str, str]) -> dict[str, set[str]]:
    """File → the files that it imports, by the names from `sources`."""
    found: dict[str, set[str]] = {}
    for path, text in files.items():
        found[path] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
                module = str(node.module).removeprefix(PREFIX).replace(".", "/")
                named = {f"{module}/{one.name}" for one in node.names}
                found[path] |= {module} if module in files else named
    return found


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
    found = imports(files)
    rank = {f"{kind}/{name}": place for kind in ORDER for place, name in enumerate(ORDER[kind])}
    lines = [f"{path}.py lies beside the packages: put it into one" for path in files if path.count("/") < 2]
    lines += [
        f"{name} is not in ORDER of tools/package_graph.py"
        for name in sorted({package(path) for path in files if path.count("/") > 1} - set(rank))
    ]
    for (one, other), where in sorted(arrows(found).items()):
        if one.startswith("module_utils") and other.startswith("plugin_utils"):
            lines.append(f"{one} travels to nodes and imports {other}: {', '.join(sorted(where))}")
        elif one.split("/")[0] == other.split("/")[0] and rank.get(one, 0) <= rank.get(other, 0):
            lines.append(f"{one} imports {other}, which is above it: {', '.join(sorted(where))}")
    return [*lines, *(f"circle: {' -> '.join(circle)}" for circle in _circles(found))]


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
    between = arrows(imports(files))
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
