# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values may hold a secret. tests/security/test_secrets_of_inventories.py has the first step as a whole."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import secret_values


@pytest.mark.parametrize(
    "text",
    ["u:p@h", "https://u:a/b@h", "h?token=x", "HF_TOKEN=abc", "--api-key abc", "Bearer abc", "hf_0123456789abcdef"],
)
def test_a_text_that_may_hold_one(text: str) -> None:
    assert secret_values.looks_secret(text) and secret_values.masked(text) is None


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "docker.io/a/b@sha256:00", "https://host/x", "/data/models", "--max-model-len 8", "eth0"]
)
def test_a_text_that_holds_none(text: str) -> None:
    assert not secret_values.looks_secret(text)


@pytest.mark.parametrize(
    ("option", "secret"),
    [
        ({"type": "str", "no_log": True}, True),
        ({"type": "dict"}, True),
        ({"type": "list", "elements": "dict", "options": {"url": {}, "key": {"no_log": True}}}, True),
        ({"type": "list", "elements": "dict", "options": {"source": {}}}, False),
        ({"type": "list", "elements": "str"}, False),
        ({"type": "int"}, False),
    ],
)
def test_an_option_whose_value_is_not_shown_as_a_whole(option: dict[str, object], secret: bool) -> None:
    assert secret_values.secret_option(option) == secret


def test_secrets_that_are_known_by_name_are_taken_out_of_messages() -> None:
    values = {"url": "http://x", "api_key": "planted-1", "inner": [{"PASSWORD": "planted-2"}], "HF_TOKEN=planted-3": ""}
    known = list(secret_values.known(values))
    assert secret_values.clean({"message": "planted-1, planted-2, planted-3", "data": ["x"]}, known) == {
        "message": "***, ***, ***",
        "data": ["x"],
    }
