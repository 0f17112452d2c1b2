# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of systemd for modules that are called in this process: units are files in a folder, nothing is started."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import service, state
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import SPEC_HASH_VARIABLE


class Systemd:
    """``broken``: whether a unit with this text ends as soon as it is started. ``calls``: the systemctl commands that change
    something. ``running``: unit → its text when it was started."""

    def __init__(self, units: Path) -> None:
        self.units = units
        self.broken: Callable[[str], bool] = lambda text: False
        self.calls: list[str] = []
        self.running: dict[str, str] = {}
        self.enabled: set[str] = set()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of systemctl and journalctl for modules; every file seems to belong to root."""
        real = AnsibleModule.run_command

        def run(module: AnsibleModule, words: list[str], **more: Any) -> tuple[int, str, str]:
            if words[0] == "systemctl":
                return self.systemctl(*words[1:])
            if words[0] == "journalctl":
                return 0, "the last line of its log\n", ""
            result: tuple[int, str, str] = real(module, words, **more)
            return result

        seen = service.read

        def read(path: str) -> service.File | None:
            file = seen(path)
            return replace(file, owner=(0, 0)) if file else None

        monkeypatch.setattr(AnsibleModule, "run_command", run)
        monkeypatch.setattr(service, "read", read)
        monkeypatch.setattr(os, "fchown", lambda *_: None)
        monkeypatch.setattr(state, "running_spec_hash", lambda _pid: self.spec_hash())

    def spec_hash(self) -> str:
        """The hash in the environment of the unit that runs."""
        found = re.findall(rf"{SPEC_HASH_VARIABLE}=(\w+)", "".join(self.running.values()))
        return found[-1] if found else ""

    def systemctl(self, verb: str, *words: str) -> tuple[int, str, str]:
        unit = words[-1] if words else ""
        if verb == "show":
            return 0, self.show(unit), ""
        self.calls.append(" ".join([verb, *(word for word in words if not word.startswith("-"))]))
        if verb == "enable":
            self.enabled.add(unit)
        if verb == "disable":
            self.enabled.discard(unit)
        if verb == "stop" or (verb == "disable" and "--now" in words):
            self.running.pop(unit, None)
        if verb in ("start", "restart"):
            self.start(unit)
        return 0, "", ""

    def start(self, unit: str) -> None:
        text = (self.units / unit).read_text()
        self.running.pop(unit, None)
        if self.broken(text):
            return
        self.running[unit] = text
        for drop_in in (self.units / f"{unit}.d").glob("*.conf"):
            for content, path in re.findall(r"'echo (\w+) >(\S+)'", drop_in.read_text()):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(f"{content}\n")

    def show(self, unit: str) -> str:
        active = unit in self.running
        text = (self.units / unit).read_text() if (self.units / unit).exists() else ""
        shown = {
            "Description": "".join(re.findall(r"^Description=(.*)$", text, re.MULTILINE)) or unit,
            "LoadState": "loaded" if (self.units / unit).exists() else "not-found",
            "ActiveState": "active" if active else "inactive",
            "UnitFileState": "enabled" if unit in self.enabled else "disabled",
            "MainPID": "1" if active else "0",
            "ExecMainStatus": "0" if active else "1",
            "ExecMainStartTimestamp": "@1",
            "Result": "success" if active else "exit-code",
        }
        return "".join(f"{name}={value}\n" for name, value in shown.items())
