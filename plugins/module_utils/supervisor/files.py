# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a rank on its node, as texts: of its engine, of its supervisor, of the previous launch. Pure; private to
this collection.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import changes, payload
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import answer
from ansible_collections.fullrank.serving.plugins.module_utils.rank import units
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import agent, check
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names, unit_text

UNITS = Path("/etc/systemd/system")
CHECK = Path("/usr/local/bin/fullrank-check")

Files = dict[Path, "tuple[str, int, bool]"]
"""Path → (content, mode, secret?)."""

GROUP_OPTIONS: dict[str, Any] = {
    "rank": {"type": "int", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "required": True},
    "listen": {"type": "str", "default": ""},
    "serves": {"type": "bool", "default": False},
    "spec": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "certificate": {"type": "str", "default": ""},
    "model": {"type": "str", "required": True},
    **answer.TASK_OPTIONS,
    "requires": {"type": "list", "elements": "path", "default": []},
    "meet_timeout": {"type": "int", "default": 600},
    "ready_timeout": {"type": "int", "default": 3600},
    "hang_timeout": {"type": "int", "default": 120},
}
"""The options of the module `rank` that tell a supervisor its group."""


def engine_files(options: Mapping[str, Any], key: str) -> Files:
    """Everything that makes up the engine of the rank on this node.

    options: those of the module `rank`. key: of the group.
    """
    launch = options["launch"]
    text = units.render_unit(
        deployment=options["deployment"],
        description=options["description"],
        argv=launch["argv"],
        env=launch["env"],
        spec_hash=launch["spec_hash"],
        environment_file=launch["environment_file"],
        load_credential=launch["load_credential"],
        stop_timeout=options["stop_timeout"],
        dynamic_user=options["dynamic_user"] and not launch["container"],
        container=launch["container"] or None,
    )
    files = {UNITS / names.rank_unit(options["deployment"]): (text, 0o644, False)}
    files |= {Path(file["path"]): (file["content"], 0o644, False) for file in launch["files"]}
    if launch["secret_file"]:
        files[Path(launch["secret_file"]["path"])] = (options["secret"], int(launch["secret_file"]["mode"], 8), True)
    if launch["group_token"]:
        # the same on all ranks, as the key is, and telling nothing about it
        token = hmac.new(key.encode(), b"token", hashlib.sha256).hexdigest()
        files[Path(launch["group_token"])] = (token, 0o600, True)
    return files


def supervisor_files(options: Mapping[str, Any], key: str) -> Files:
    """The same for its supervisor. key: of the group."""
    name, launch, group = options["deployment"], options["launch"], options["group"]
    container = launch["container"]
    config = {
        "deployment": name,
        **group,
        "files": [str(path) for path in engine_files(options, key)],
        "rendezvous_port": launch["rendezvous_port"],
        "start_order": launch["start_order"],
        "probe": [launch["argv"][0], "image", "inspect", "--format", "ok", container["image"]] if container else [],
    }
    secret = {"group_key": key, "api_key": options["api_key"] or ""}
    unit = units.render_supervisor_unit(
        deployment=name,
        description=options["description"],
        stop_timeout=options["stop_timeout"],
        runtime=container["runtime"] if container else "",
    )
    program = Path(names.supervisor_program(name))
    return {
        UNITS / names.supervisor_unit(name): (unit, 0o644, False),
        Path(names.supervisor_config(name)): (as_config(config), 0o644, False),
        Path(names.supervisor_secret(name)): (json.dumps(secret) + "\n", 0o600, True),
        **{
            program / file: (text, 0o644, False)
            for file, text in payload.files(agent, units.SUPERVISOR_PACKAGE).items()
        },
        CHECK: (f"#!/usr/bin/python3\n{payload.text(check)}", 0o755, False),
    }


def group_key(deployment: str) -> str:
    """The key that the supervisors of the ranks share, as this node has it; empty where it has none."""
    for file in (names.supervisor_secret(deployment), names.former_secret(deployment)):
        secret, _unused = changes.read(Path(file))
        if secret:
            return str(json.loads(secret)["group_key"])
    return ""


def own_files(deployment: str, config: str) -> list[Path]:
    """Every file of a rank but its supervisor's program. config: what the supervisor reads; may be empty."""
    rest = json.loads(config).get("files", []) if config else []
    fixed = [UNITS / names.rank_unit(deployment), UNITS / names.supervisor_unit(deployment)]
    fixed += [Path(names.supervisor_config(deployment)), Path(names.supervisor_secret(deployment))]
    return [*fixed, *(Path(path) for path in rest if Path(path) not in fixed)]


def is_program(path: Path) -> bool:
    """Whether a path on a node is part of the supervisor's program: not worth a diff of thousand lines."""
    return units.SUPERVISOR_PACKAGE in path.parts or path == CHECK


def is_of_supervisor(deployment: str, path: Path) -> bool:
    """Whether a file is read by the supervisor, and not by the engine or its unit."""
    of_group = (names.supervisor_unit(deployment), Path(names.supervisor_config(deployment)).name)
    return path.name in (*of_group, Path(names.supervisor_secret(deployment)).name) or is_program(path)


def spec_hash(unit: str) -> str:
    """The hash of the launch in the text of a unit; empty when it has none."""
    found = re.search(rf"^Environment={unit_text.SPEC_HASH_VARIABLE}=(\S+)$", unit, re.MULTILINE)
    return found[1] if found else ""


def as_config(config: Mapping[str, Any]) -> str:
    """The supervisor's configuration as it is written."""
    return json.dumps(config, indent=1, sort_keys=True) + "\n"
