# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's Lua program. What it does is seen in tests/security, where HAProxy runs it."""

from __future__ import annotations

import re

from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy, lua, replicas
from router_samples import SERVER, WITH_KEYS


def test_the_program_has_what_the_configuration_calls() -> None:
    text = haproxy.configuration(
        {**WITH_KEYS, "servers": [SERVER]}, run="/run/x", maps="/etc/x", program="/x.lua", digest="d", threads=2
    )
    called = set(re.findall(r"lua\.(\w+)", text))
    assert called == {"wait", "keys", "account", "refused"}
    assert set(re.findall(r'core\.register_\w+\("(\w+)"', lua.PROGRAM)) == called
    assert replicas.ROUNDS > 1
