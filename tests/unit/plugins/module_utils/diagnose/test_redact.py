# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets planted in everything that a bundle holds, and words that only look like them."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.diagnose import redact

KEY = "Zx81-spectrum"


@pytest.mark.parametrize(
    "text",
    [
        f"server_args=ServerArgs(host='0.0.0.0', api_key='{KEY}', enable_metrics=True)",
        f"server_args={{'model_path': '/m', 'api_key': '{KEY}', 'port': 8000}}",
        f"Environment=HF_TOKEN={KEY}",
        f'Environment="MODELSCOPE_API_TOKEN={KEY}"',
        f"VLLM_API_KEY={KEY}\nOTHER=1",
        f'api-key: "{KEY}"',
        f"vllm serve /m --api-key {KEY} --port 8000",
        f"argv: ['vllm', 'serve', '--api-key', '{KEY}', '--port']",
        f"Authorization: Bearer {KEY}",
        f"curl -H 'authorization: bearer {KEY}' http://x",
        f"https://user:{KEY}@registry.example.com/v2/",
        f'{{"registry_password": "{KEY}"}}',
        f"WEBUI_SECRET_KEY={KEY}",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}",
    ],
)
def test_a_planted_secret_is_gone_and_the_rest_stays(text: str) -> None:
    clean = redact.redact(f"before\n{text}\nafter")
    assert KEY not in clean and redact.GONE in clean
    assert clean.startswith("before\n")
    assert redact.redact(clean) == clean  # the controller does it again


@pytest.mark.parametrize(
    "token",
    [
        "sk-proj-1234567890abcdef",
        "hf_AbCdEfGhIjKlMnOpQrStUvWx",
        "ms-12345678-1234-1234-1234-123456789abc",
        "ghp_123456789012345678901234567890123456",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ],
)
def test_a_token_is_known_by_its_form(token: str) -> None:
    assert token not in redact.redact(f"sent {token} and went on")


def test_a_vaulted_value_is_gone() -> None:
    vaulted = "key: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6132333435\n  3839\nnext: 1"
    assert redact.redact(vaulted).endswith("next: 1") and "6132333435" not in redact.redact(vaulted)


@pytest.mark.parametrize(
    "text",
    [
        "max_total_num_tokens=4096, chunked_prefill_size=4096",
        "eos_token_id=2 bos_token_id=1",
        "KV Cache is allocated. dtype: torch.float16, #tokens: 4096, K size: 0.00 GB",
        "num_key_value_heads: 8",
        "GET http://10.0.0.1:8000/v1/models",
        "tcp://127.0.0.1:29500",
        "user@host:/path",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact.redact(text) == text


def test_known_values_are_gone_wherever_they_stand() -> None:
    assert redact.redact("x correct-horse y correct-horse-battery", ["correct-horse", "correct-horse-battery"]) == (
        f"x {redact.GONE} y {redact.GONE}"
    )
    assert redact.redact("a short abc stays", ["abc"]) == "a short abc stays"


def test_secrets_of_files_and_variables() -> None:
    assert redact.secrets_of_file('VLLM_API_KEY=one-two=three\napi-key: "four"\n\n') == ["one-two=three", "four"]
    tree = {
        "engine_api_key": "one",
        "engine_env": {"HF_TOKEN": "two", "X": "y"},
        "users": [{"password": "three"}],
        "n": 5,
    }
    assert redact.secrets_in(tree) == ["one", "two", "three"]
    assert redact.is_secret_name("HF_TOKEN") and not redact.is_secret_name("max_tokens")
