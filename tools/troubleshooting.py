# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/troubleshooting.md from the failure signatures: ``python -m tools.troubleshooting``. A test compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
TABLE = CHECKOUT / "plugins/plugin_utils/data/failures.yml"
RECORDED = CHECKOUT / "tests/unit/data/failures/recorded.yml"
PAGE = CHECKOUT / "docs/troubleshooting.md"

_HEAD = """\
# When something fails

Made from `plugins/plugin_utils/data/failures.yml` by `python -m tools.troubleshooting`; change that file, not this one.

A start that fails reports the likely cause with its rank and log line, and the remedy, before the last lines of every rank.
For a deployment that fails later, or when more is needed:

```console
ansible-playbook playbooks/diagnose.yml -i inventories/prod
```

It changes nothing. It gathers from all nodes at once the journal of the rank since its last start, its unit, container and
versions, GPUs, RDMA devices, network, memory, disks and the kernel's log; prints the likely causes first; and leaves one
`tar.gz` in `~/fullrank-diagnose` (`-e diagnose_directory=…`) on this machine, readable by you only. Nodes that do not answer are
named, the others are in it. Keys, tokens and passwords are taken out: those of the inventory and the vault, those of the node's
own files, and what looks like one. Read it before you send it to somebody all the same.

How causes are ordered: a line that names a cause stands before one that reports a symptom, and that before one that only repeats
that something else has failed; the rank that failed first stands before those that lost it.

What is not in this table is shown as the last error of the rank that failed first. If you find the cause, add the line
to the table with its recording.
"""
_TITLES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "lmdeploy": "LMDeploy",
    "engine": "Every engine",
    "hub": "Weights and hubs",
    "network": "Rendezvous and network",
    "nccl": "NCCL",
    "rdma": "RDMA",
    "cuda": "GPUs, CUDA and driver",
    "toolkit": "NVIDIA container toolkit",
    "docker": "docker",
    "ray": "Ray",
    "systemd": "systemd",
    "node": "The node",
}
SHOWN = 160


def page() -> str:
    """The whole page."""
    table = yaml.safe_load(TABLE.read_text())
    recorded: dict[str, str] = {}
    for one in yaml.safe_load(RECORDED.read_text()):
        recorded.setdefault(one["id"], one["line"])
    missing = {one["component"] for one in table} - set(_TITLES)
    if missing:
        raise ValueError(f"no title for {sorted(missing)}")
    parts = [_HEAD]
    for component, title in _TITLES.items():
        parts.append(f"\n## {title}\n")
        parts += [_entry(one, recorded[one["id"]]) for one in table if one["component"] == component]
    return "".join(parts)


def _entry(one: dict[str, Any], line: str) -> str:
    # compilers quote as the locale does; pages do as ansible-test wants it
    line = line.replace("\u2018", "'").replace("\u2019", "'")
    shown = line.strip() if len(line.strip()) <= SHOWN else f"{line.strip()[:SHOWN]}…"
    kind = "" if one["level"] == "cause" else f" ({one['level']})"
    source = f"<{one['source']}>" if one["source"].startswith("http") else one["source"]
    block = f"```text\n{shown}\n```"
    return (
        f"\n### {one['id']}{kind}\n\n{block}\n\n{one['cause']}\n\n**What to do:** {one['remedy']}\n\nSource: {source}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
