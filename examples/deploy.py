#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy from Python, follow the run, ask the model: ``examples/deploy.py INVENTORY DEPLOYMENT "question"``.

Needs ``pip install --group examples`` (ansible-runner and the OpenAI client). The key of a deployment that wants one is read from
the environment variable OPENAI_API_KEY: no playbook hands it out. docs/ansible-runner.md documents what comes back.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import ansible_runner
from openai import OpenAI

PROJECT = Path(__file__).resolve().parents[1]


def follow(event: dict[str, Any]) -> bool:
    """One line for each change, each failure and each line of progress; False: ansible-runner need not keep the event."""
    data = event.get("event_data", {})
    kind = event["event"]
    if kind == "playbook_on_play_start":
        print(f"== {data['name']}", flush=True)
    elif kind == "runner_on_failed" and not data.get("ignore_errors"):
        print(f"   {data['host']}: {data['res'].get('msg', 'failed')}", flush=True)
    elif kind == "runner_on_ok" and data["res"].get("changed"):
        print(f"   {data['host']}: {data['task']}", flush=True)
    elif kind == "verbose" and event["stdout"].startswith("  "):  # what the ranks do while they are waited for
        print(f"   {event['stdout'].strip()}", flush=True)
    return kind == "playbook_on_stats"


def deploy(inventory: str) -> dict[str, Any]:
    """Run site.yml; what it hands out, ``fullrank`` of set_stats. Raises SystemExit when it failed: the reason was printed."""
    with tempfile.TemporaryDirectory() as private:
        run = ansible_runner.run(
            private_data_dir=private,
            project_dir=str(PROJECT),
            playbook="site.yml",
            inventory=str(Path(inventory).resolve()),
            envvars={"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            event_handler=follow,
            quiet=True,
        )
        if run.rc:
            raise SystemExit(f"site.yml: {run.status}")
        stats = [event for event in run.events if event["event"] == "playbook_on_stats"]
        return dict(stats[-1]["event_data"]["artifact_data"]["fullrank"])


def ask(deployment: dict[str, Any], question: str) -> str:
    """The model's answer by the OpenAI client, as it comes."""
    client = OpenAI(base_url=deployment["endpoint"], api_key=os.environ.get("OPENAI_API_KEY", "none"))
    chunks = client.chat.completions.create(
        model=deployment["model"],
        messages=[{"role": "user", "content": question}],
        max_tokens=60,
        stream=True,
    )
    answer = ""
    for chunk in chunks:
        word = (chunk.choices[0].delta.content or "") if chunk.choices else ""
        answer += word
        print(word, end="", flush=True)
    print()
    return answer


if __name__ == "__main__":
    where, name, text = sys.argv[1:4]
    ask(deploy(where)["deployments"][name], text)
