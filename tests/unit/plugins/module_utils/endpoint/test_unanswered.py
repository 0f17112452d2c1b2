# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an endpoint does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks, unanswered

REFUSED = checks.Answer(0, error="Connection refused")


@pytest.mark.parametrize(
    ("group", "message", "remedy"),
    [
        (REFUSED, "it is stopped, or not installed", "playbooks/restart.yml"),
        (checks.Answer(503, '{"ready": false, "summary": "starting rank 1 (n2)"}'), "starting rank 1 (n2)", "status"),
        (checks.Answer(200, '{"ready": true, "summary": "ready"}'), "Connection refused", "firewall"),
        (checks.Answer(0, error="timed out"), "Connection refused", "firewall"),
    ],
)
def test_a_head_that_does_not_answer_is_explained_by_its_supervisor(
    group: checks.Answer, message: str, remedy: str
) -> None:
    def ask(url: str, *_unused: Any, **_more: Any) -> checks.Answer:
        return group if url == "http://s/ready" else REFUSED

    (only,) = checks.look(checks.Endpoint(name="tiny", url="http://x", ready="http://s/ready"), ask)
    assert (only["severity"], only["code"]) == ("fail", "endpoint-answers")
    assert message in only["message"] and remedy in only["remedy"]


def test_without_a_supervisor_to_ask_the_error_is_all_that_is_known() -> None:
    found = unanswered.why("tiny", "http://x: CERTIFICATE_VERIFY_FAILED", "", lambda *_unused: REFUSED)
    assert "engine_ca_file" in found["remedy"]
    assert "firewall" in unanswered.why("tiny", "http://x: timed out", "", lambda *_unused: REFUSED)["remedy"]
    assert unanswered.no_replica("tiny", "http://x", lambda *_unused: checks.Answer(401, "{}")) is None


def test_a_router_without_a_ready_replica_is_reported_at_once() -> None:
    seen = []

    def ask(url: str, *_unused: Any, **_more: Any) -> checks.Answer:
        seen.append(url)
        return checks.Answer(503, '{"deployment": "tiny", "ready": false, "servers": {"n1": false}}')

    (only,) = checks.look(checks.Endpoint(name="tiny", url="http://x", place="router", api_key="sk-right"), ask)
    assert only["severity"] == "fail" and "no replica is ready (n1)" in only["message"]
    assert seen == ["http://x/fullrank/ready"], "a client would wait there"
