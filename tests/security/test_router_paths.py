# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint check at a real router: nothing answers without the key, and a router that lets a path through is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks
from router_loopback import TEAM_KEY, Router, running


def look(router: Router, engine: str) -> dict[str, dict[str, Any]]:
    url = f"http://127.0.0.1:{router.route['port']}"
    one = {"name": "router", "url": url, "model": "tiny", "api_key": TEAM_KEY, "engine": engine, "place": "router"}
    return {finding["code"]: finding for finding in checks.look_at_all([one], 20)}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "lmdeploy"])
def test_no_path_of_a_router_answers_without_the_key(tmp_path: Path, engine: str) -> None:
    with running(tmp_path, replicas=1) as router:
        found = look(router, engine)
        assert found["model-name"]["severity"] == "pass", found
        assert found["paths-without-key"]["severity"] == "pass", found["paths-without-key"]
        assert found["host-header"]["severity"] == "pass"


def test_a_router_without_a_key_before_an_engine_with_one_is_named(tmp_path: Path) -> None:
    """What its configuration lets through in spite of the inventory."""
    with running(tmp_path, replicas=1, key=False) as router:
        assert look(router, "vllm")["key-required"]["severity"] == "fail"
