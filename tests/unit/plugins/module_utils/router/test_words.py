# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of HAProxy's configuration."""

from __future__ import annotations

import json

from ansible_collections.fullrank.serving.plugins.module_utils.router import words


def test_errors_have_the_shape_that_clients_read() -> None:
    assert json.loads(words.error("no", "invalid_request_error", 404))["error"]["code"] == 404


def test_an_answer_is_one_rule_with_its_headers() -> None:
    rule = words.answer(429, "slower", "rate_limit_error", "Retry-After 1")
    assert rule.startswith("return status 429 content-type application/json hdr Retry-After 1 string '")


def test_quotes_and_addresses() -> None:
    assert words.quoted("it's") == "'it'\\''s'"
