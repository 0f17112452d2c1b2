# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan shows of commands and environments."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.plan import shown


def test_values_of_names_that_mark_a_secret_are_not_shown() -> None:
    env = {
        "VLLM_API_KEY": "planted",
        "HF_TOKEN": "planted",
        "MAX_TOKENS": "5",
        "RAY_TOKEN": "/etc/fullrank/t.token",
        "E_KEY": "",
    }
    assert "planted" not in str(shown.values(env))
    assert {name for name, value in shown.values(env).items() if value == env[name]} == {
        "MAX_TOKENS",
        "RAY_TOKEN",
        "E_KEY",
    }


def test_commands_lose_them_wherever_they_stand() -> None:
    command = ["env", "HF_TOKEN=planted a", "docker", "run", "--env", "VLLM_API_KEY=planted", "--hf-token", "planted"]
    command += ["--auth-token=planted", "--max-model-len", "8", "--ssl-keyfile", "/x", "--enable-key", "--port", "1"]
    found = shown.words(command)
    assert "planted" not in " ".join(found)
    assert found[8:] == ["--auth-token=(redacted)", *command[9:]]
    assert "planted" not in shown.line("docker run --env 'VLLM_API_KEY=planted b' image")


def test_a_command_without_one_is_shown_as_it_is() -> None:
    text = "vllm serve '/data/a b'   --max-num-batched-tokens 8192 --x '{\"tokens\": 1}'"
    assert shown.line(text) == text
