# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rank's environment in the making: no variable without a reason, no silence about one left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding


@dataclass
class Draft:
    """``env`` and ``reasons`` have the same keys; ``unset`` has none of them."""

    host: str
    env: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unset: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    vendor_script: str = ""

    def set(self, name: str, value: str, reason: str) -> None:
        self.env[name], self.reasons[name] = value, reason
        self.unset.pop(name, None)

    def leave(self, name: str, why: str) -> None:
        """Not set, for this reason; a variable that is set already stays."""
        if name not in self.env:
            self.unset[name] = why

    def remove(self, name: str, why: str) -> None:
        self.env.pop(name, None)
        self.reasons.pop(name, None)
        self.unset[name] = why

    def find(self, severity: str, code: str, where: str, message: str, remedy: str) -> None:
        self.findings.append(finding(severity, code, f"{self.host}.{where}", message, remedy))

    def result(self) -> dict[str, Any]:
        return {
            "env": dict(sorted(self.env.items())),
            "reasons": dict(sorted(self.reasons.items())),
            "unset": dict(sorted(self.unset.items())),
            "vendor_script": self.vendor_script,
        }
