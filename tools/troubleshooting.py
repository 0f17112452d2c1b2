# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/troubleshooting.md from the failure signatures: ``python -m tools.troubleshooting``. A test compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
TABLES = CHECKOUT / "plugins/plugin_utils/data/failures"
RECORDED = CHECKOUT / "tests/unit/data/failures/recorded.yml"
PAGE = CHECKOUT / "docs/troubleshooting.md"

_HEAD = """\
# When something fails

Made from `plugins/plugin_utils/data/failures` by `python -m tools.troubleshooting`; change those files, not this one.

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
that something else has failed; the rank that failed first stands before those that lost it; then time, and the place in the
log, since the innermost of chained exceptions is written first.

What is no evidence: requests of users that the engine logs; the code that a traceback quotes; what a rank writes while it is
stopped; what a process wrote before it came further, and all that was written before the engine answered. A line that the
program itself calls a warning counts where something failed afterwards and no other line names a cause.

What is not in this table is shown as the line that tells most of the rank that failed first: an exception, docker's or NCCL's own
words, before a line that only shows that something ended. If you find the cause, add the line to the table with its recording
(`tests/unit/data/failures`).

How often the table is right on logs that were not there when it was written stands in
[decision 162](decisions/162-a-log-is-read-by-what-each-line-is.md).
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
    "fabric": "NVSHMEM, DeepEP, NIXL, Mooncake and UCX",
    "cuda": "GPUs, CUDA, driver and Fabric Manager",
    "xid": "Xid errors of NVIDIA's driver",
    "toolkit": "NVIDIA container toolkit",
    "docker": "docker",
    "ray": "Ray",
    "systemd": "systemd",
    "python": "Python and its packages",
    "node": "The node",
}
HARMLESS = "Lines that look like failures and are none"
SHOWN = 160


def page() -> str:
    """The whole page."""
    table = [one for path in sorted(TABLES.glob("*.yml")) for one in yaml.safe_load(path.read_text())]
    recorded: dict[str, str] = {}
    for one in yaml.safe_load(RECORDED.read_text()):
        recorded.setdefault(one["id"], one["line"])
    missing = {one["component"] for one in table} - set(_TITLES)
    if missing:
        raise ValueError(f"no title for {sorted(missing)}")
    parts = [_HEAD]
    sections = [(title, [one for one in table if one["component"] == name]) for name, title in _TITLES.items()]
    for title, entries in sections:
        found = [_entry(one, recorded[one["id"]]) for one in entries if one["level"] != "harmless"]
        parts += [f"\n## {title}\n", *found] if found else []
    parts.append(f"\n## {HARMLESS}\n")
    parts += [_entry(one, recorded[one["id"]]) for one in table if one["level"] == "harmless"]
    return "".join(parts)


def _entry(one: dict[str, Any], line: str) -> str:
    # compilers quote as the locale does; pages do as ansible-test wants it
    line = line.replace("\u2018", "'").replace("\u2019", "'")
    shown = "\n".join(
        part if len(part) <= SHOWN else f"{part[:SHOWN]}…" for part in (each.strip() for each in line.splitlines())
    )
    kind = "" if one["level"] == "cause" else f" ({one['level']})"
    source = f"<{one['source']}>" if one["source"].startswith("http") and " " not in one["source"] else one["source"]
    block = f"```text\n{shown}\n```"
    remedy = (
        "" if one["level"] == "harmless" and one["remedy"] == "Nothing." else f"\n**What to do:** {one['remedy']}\n"
    )
    return f"\n### {one['id']}{kind}\n\n{block}\n\n{one['cause']}\n{remedy}\nSource: {source}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
