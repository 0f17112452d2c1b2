# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One answer of all ranks, and one file of all that was gathered."""

from __future__ import annotations

import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import gathering
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import diagnosis, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import replicas

OPTIONS = {
    "deployments": {"type": "dict", "required": True},
    "results": {"type": "dict", "required": True},
    "directory": {"type": "path", "required": True},
}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.diagnose_bundle``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        report: list[str] = []
        for name, (_unused, hosts) in replicas.labelled(params["deployments"]).items():
            if not set(hosts) & set(params["results"]):
                continue
            results = [params["results"].get(host, diagnosis.NOT_ASKED) or {} for host in hosts]
            found[name] = diagnosis.diagnose(tables.failures(), hosts, results)
            report += [f"== {name}: {found[name]['lines'][0]}", *found[name].pop("lines")[1:]]
        bundle = ""
        if not self._task.check_mode:
            name = datetime.now(UTC).strftime("fullrank-%Y%m%dT%H%M%SZ")
            bundle = pack(gathering.place(), Path(params["directory"]) / f"{name}.tar.gz", report, found)
            report.append(f"Everything is in {bundle}")
        return {"report": report, "diagnosis": found, "bundle": bundle}


def pack(folder: Path, bundle: Path, report: list[str], found: dict[str, Any]) -> str:
    """Write the bundle, readable by its owner only; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text("".join(f"{line}\n" for line in report))
    (folder / "report.json").write_text(json.dumps(found, indent=1, default=str))
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(bundle, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        bundle.chmod(0o600)
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            archive.add(folder, arcname=bundle.name.partition(".")[0])
    return str(bundle)
