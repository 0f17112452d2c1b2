# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's daemon.json with several owners: each owner's keys are applied to what the user wrote, and can be reverted.

A *record* holds what one owner did at one place, so that it can be undone. Reverting the old records and applying the wanted
options again is the whole merge; nothing here reads or writes.

PRIVATE to this collection.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed

Record = dict[str, Any]
"""path (keys from the top) and what was done there: ``value`` was set, ``before`` is what it replaced, if anything;
or ``added`` are the items that were appended to a list; or ``made`` is true: an object was made to hold the rest."""

# flags whose key in daemon.json is neither the flag nor its plural, and the one-letter flags (dockerd --help)
FLAG_KEYS = {
    "H": "hosts",
    "D": "debug",
    "G": "group",
    "b": "bridge",
    "g": "data-root",
    "graph": "data-root",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
    "insecure-registry": "insecure-registries",
}
# both places together are allowed for these only (skipDuplicates in moby's daemon/config)
BOTH_ALLOWED = {"runtimes"}


def parse(text: str, where: str) -> tuple[dict[str, Any], list[Finding]]:
    """The object in the file, or one failed check with the place of the error; an empty file is {}, as it is for dockerd."""
    if not text.strip():
        return {}, []
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        lines = text.splitlines() or [""]
        shown = lines[min(error.lineno, len(lines)) - 1].strip()
        message = f"not valid JSON at {place}: {error.msg}, near {masked(shown)!r}"
        return {}, [
            failed("daemon-json-broken", where, message, "repair the file, or move it away; it was not touched")
        ]
    if not isinstance(content, dict):
        message = f"holds {type(content).__name__} instead of an object"
        return {}, [failed("daemon-json-broken", where, message, "write {...}, or move it away; it was not touched")]
    return content, []


def render(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def masked(text: str) -> str:
    """Without the user and password of addresses, for messages and diffs.

    >>> masked("http://me:secret@proxy:3128")
    'http://***@proxy:3128'
    """
    return re.sub(r"://[^/@\s\"]+@", "://***@", text)


def merge(
    config: Mapping[str, Any], records: Sequence[Record], wanted: Mapping[str, Any], append: Sequence[str] = ()
) -> tuple[dict[str, Any], list[Record]]:
    """The file with what ``records`` did reverted and ``wanted`` applied, and the records of that.

    Objects are merged key by key. Everything else replaces what was there; the lists at the top-level keys ``append`` get
    the items that they lack.
    """
    return apply(revert(config, records), wanted, append)


def revert(config: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """The file without what the records did. A value that was changed since by another hand stays."""
    result = copy.deepcopy(dict(config))
    for record in reversed(records):
        *parents, last = record["path"]
        place = _at(result, parents)
        if not isinstance(place, dict) or last not in place:
            continue
        now = place[last]
        if "added" in record:
            if isinstance(now, list):
                place[last] = [item for item in now if item not in record["added"]]
        elif record.get("made"):
            if now in ({}, []):
                del place[last]
        elif same(now, record["value"]):
            if "before" in record:
                place[last] = copy.deepcopy(record["before"])
            else:
                del place[last]
    return result


def apply(
    config: Mapping[str, Any], wanted: Mapping[str, Any], append: Sequence[str] = ()
) -> tuple[dict[str, Any], list[Record]]:
    """The file with ``wanted`` on top of it, and the records by which ``revert`` undoes exactly that."""
    result: dict[str, Any] = copy.deepcopy(dict(config))
    records: list[Record] = []
    _apply(result, wanted, [], set(append), records)
    return result, records


def _apply(
    place: dict[str, Any], wanted: Mapping[str, Any], path: list[str], append: set[str], records: list[Record]
) -> None:
    for key, value in wanted.items():
        here = [*path, key]
        now = place.get(key)
        if isinstance(value, dict) and (key not in place or isinstance(now, dict)):
            if key not in place:
                place[key] = {}
                records.append({"path": here, "made": True})
            _apply(place[key], value, here, append, records)
        elif isinstance(value, list) and not path and key in append and (key not in place or isinstance(now, list)):
            if key not in place:
                place[key] = []
                records.append({"path": here, "made": True})
            added = [item for item in value if item not in place[key]]
            if added:
                place[key] = place[key] + added
                records.append({"path": here, "added": added})
        elif key not in place:
            place[key] = copy.deepcopy(value)
            records.append({"path": here, "value": copy.deepcopy(value)})
        elif not same(now, value):
            place[key] = copy.deepcopy(value)
            records.append({"path": here, "value": copy.deepcopy(value), "before": now})


def _at(config: Any, path: Sequence[str]) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def claimed(records: Sequence[Record], others: Mapping[str, Sequence[Record]], where: str) -> list[Finding]:
    """A failed check for each value that another owner sets differently: one of them would undo the other on every run."""
    theirs = {
        tuple(one["path"]): (owner, one["value"])
        for owner, all_of in others.items()
        for one in all_of
        if "value" in one
    }
    found = []
    for one in records:
        owner, value = theirs.get(tuple(one["path"]), ("", None))
        if owner and "value" in one and not same(one["value"], value):
            message = f"{owner} sets it to {json.dumps(value)}, this would set it to {json.dumps(one['value'])}"
            remedy = "set it in one place only"
            found.append(failed("daemon-json-owner", f"{where}, {'.'.join(one['path'])}", message, remedy))
    return found


def flags(exec_start: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Key of daemon.json → the flag that sets it on dockerd's command line.

    exec_start: ``systemctl show --property=ExecStart`` of docker.service, drop-ins included.
    environment: the variables of the unit, whose ``$NAME`` stand in the command as separate words.

    >>> flags("{ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// $OPTS ; pid=1 }", {"OPTS": "--log-opt max-size=1m"})
    {'hosts': '-H', 'log-opts': '--log-opt', 'log-opt': '--log-opt'}
    """
    command = re.search(r"argv\[\]=(.*?) ; ", exec_start)
    found: dict[str, str] = {}
    for word in shlex.split(command[1]) if command else []:
        variable = re.fullmatch(r"\$\{?(\w+)\}?", word)
        for part in shlex.split(environment.get(variable[1], "")) if variable else [word]:
            if not re.match(r"--?\w", part):
                continue
            flag = part.partition("=")[0] if part.startswith("--") else part[:2]
            name = flag.lstrip("-")
            keys = [FLAG_KEYS[name]] if name in FLAG_KEYS else [f"{name}s", name]
            found.update(dict.fromkeys(keys, flag))
    return found


def environment_of(text: str) -> dict[str, str]:
    """The variables of an environment file (systemd.exec(5), EnvironmentFile=); the last line of a name counts."""
    rows = (line.strip().partition("=") for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    return {name.strip(): " ".join(shlex.split(value)) for name, separator, value in rows if separator}


def in_both(
    wanted: Mapping[str, Any], flags: Mapping[str, str], unit_files: Sequence[str], where: str
) -> list[Finding]:
    """A failed check for each key that is a flag of dockerd too: with both, dockerd does not start."""
    return [
        failed(
            "daemon-json-flag",
            f"{where}, {key}",
            f"dockerd is started with {flags[key]} too, and refuses to start with both",
            f"take {flags[key]} out of {' or '.join(unit_files)}, or leave {key} out here",
            key=key,
        )
        for key in wanted
        if key in flags and key not in BOTH_ALLOWED
    ]
