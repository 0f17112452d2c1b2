# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions share that work on the controller alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase


class ControllerAction(ActionBase):
    """An action without a connection: options in, an answer out.

    A subclass names its ``options`` as a module names its arguments, and gives the keys of its result by ``answer``. Nothing is
    ``changed`` unless the answer has it.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    options: ClassVar[dict[str, Any]]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, params = self.validate_argument_spec(argument_spec=self.options)
        return result | {"changed": False} | self.answer(params, task_vars or {})

    @abstractmethod
    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The keys of the result; ``failed`` with ``msg`` where there is nothing else to say.

        Args:
            params: the options, checked, with their defaults.
            task_vars: the variables of the task's host.
        """
