# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the key of a deployment on the controller, where there is none yet."""

from __future__ import annotations

import contextlib
import os
import secrets
import string
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import key_file

# 256 bits, in characters that no shell, header or YAML reads as anything else
ALPHABET, LENGTH = string.ascii_letters + string.digits, 43
OPTIONS = {"deployment": {"type": "str", "required": True}, "path": {"type": "path"}}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.engine_key``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if why := names.refused(params["deployment"]):
            return {"failed": True, "msg": f"deployment {params['deployment']!r}: {why}"}
        try:
            path = params["path"] or key_file.place(task_vars, params["deployment"])
            if not path:
                raise ValueError(
                    f"the inventory is no file beside which a key of {params['deployment']} could lie; set engine_api_key, or "
                    "engine_api_key_file"
                )
            there = Path(path).exists()
            if there:
                key_file.key_of(self._loader.load_from_file(path, cache="none"), path)
        except (ValueError, AnsibleError) as error:
            return {"failed": True, "msg": str(error)}
        if there:
            return {"path": path}
        if not self._task.check_mode:
            self._write(
                Path(path),
                key_file.text(
                    params["deployment"], path, "".join(secrets.choice(ALPHABET) for _unused in range(LENGTH))
                ),
            )
            Display().display(f"  {params['deployment']}: clients need the key that was made: {path}")
            Display().display(f"  encrypt it: ansible-vault encrypt {path}")
        return {"changed": True, "path": path, "diff": {"prepared": f"{path} (mode 0600): a new key\n"}}

    def _write(self, path: Path, text: str) -> None:
        """In one step, and not over a file that another head's task made in this moment."""
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        with contextlib.suppress(FileExistsError):
            os.link(work, path)
        work.unlink()
