# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module on the node, takes out the secrets that only the controller knows, and keeps the files here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultHelper
from ansible.plugins.action import ActionBase
from ansible_collections.fullrank.serving.plugins.module_utils.diagnose import redact
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import gathering
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import failures, tables

# Ansible's own, which hold nothing of the user's or everything once more
_NOT_SEARCHED = ("hostvars", "vars", "groups", "ansible_facts")


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.diagnose``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        answer = self._execute_module(task_vars=task_vars)
        files = answer.pop("files", {})
        if answer.get("failed"):
            return result | answer
        secrets = self._secrets(task_vars)
        files = {name: redact.redact(content, secrets) for name, content in files.items()}
        gathering.keep(gathering.place() / self._task.args["deployment"] / task_vars["inventory_hostname"], files)
        log = files.get("journal.log", "").splitlines()
        signatures = tables.failures()
        sightings = failures.search(signatures, [*log, *files.get("kernel.log", "").splitlines()])
        return (
            result | answer | {"gathered": sorted(files), "sightings": sightings, "last_error": _error(signatures, log)}
        )

    def _secrets(self, task_vars: dict[str, Any]) -> list[str]:
        """The secrets among the variables of this host: by their names, and all that comes from a vault."""
        found: list[str] = []
        for name, raw in task_vars.items():
            if name in _NOT_SEARCHED or name.startswith("ansible_play"):
                continue
            try:
                value = self._templar.template(raw)
            except AnsibleError:
                continue  # what cannot be templated here is not known to the node either
            found += redact.secrets_in(value, name)
            found += vaulted(value)
        return found


def _error(signatures: Sequence[failures.Signature], log: list[str]) -> dict[str, Any]:
    error = failures.most_telling(signatures, log)
    return {"line": error.text, "weight": error.weight, "time": error.time, "number": error.number} if error else {}


def vaulted(value: Any) -> list[str]:
    """All strings in a tree of variables that came out of a vault."""
    if VaultHelper.get_ciphertext(value, with_tags=False) is not None:
        return [str(value)]
    if isinstance(value, dict):
        return [secret for one in value.values() for secret in vaulted(one)]
    if isinstance(value, (list, tuple)):
        return [secret for one in value for secret in vaulted(one)]
    return []
