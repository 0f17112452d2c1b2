# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rank was written to serve, and what the inventory has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import written
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

CONFIG = {
    "deployment": "chat",
    "url": "http://127.0.0.1:8011",
    "model": "chat",
    "names": ["n1", "n2"],
    "certificate": "",
}
WANTED: dict[str, Any] = {
    "url": "http://127.0.0.1:8011",
    "model": "chat",
    "engine": "vllm",
    "version": "0.32.0",
    "names": ["n1", "n2"],
}


def test_what_runs_is_asked_by_its_own_address_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "CONFIG", str(tmp_path))
    assert written.read("chat") == {}
    Path(names.supervisor_config("chat")).write_text(json.dumps(CONFIG))
    Path(names.supervisor_secret("chat")).write_text(json.dumps({"api_key": "sk-1"}))
    found = written.read("chat")
    request = written.endpoint(found, {**WANTED, "url": "http://127.0.0.1:8000"})
    assert (request["url"], request["api_key"]) == ("http://127.0.0.1:8011", "sk-1")
    assert written.endpoint(found, {**WANTED, "url": None}) == written.endpoint({}, WANTED) == {}
    Path(names.supervisor_config("chat")).write_text("{")
    assert written.read("chat") == {}


def test_each_difference_is_a_line() -> None:
    assert written.drift(CONFIG, WANTED, "vllm 0.32.0") == written.drift({}, WANTED, "") == []
    assert written.drift(CONFIG, {**WANTED, "url": "http://127.0.0.1:8000", "names": ["n1"]}, "vllm 0.31.0") == [
        "serves at http://127.0.0.1:8011; the inventory has http://127.0.0.1:8000",
        "runs vllm 0.31.0; the inventory has vllm 0.32.0",
        "has the ranks n1, n2; the inventory has n1",
    ]
    # another rank than the head serves nothing
    assert written.drift(CONFIG, {**WANTED, "url": None, "model": None}, "vllm 0.32.0") == []
