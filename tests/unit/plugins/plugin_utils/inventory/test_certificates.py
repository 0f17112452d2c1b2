# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate of a head, from its engine's options, as the node finds it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.certificates import certificate
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import endpoint

FILE = "/etc/tls/own.crt"
MOUNT = [{"source": "/srv/tls", "target": "/etc/tls"}]


@pytest.mark.parametrize(
    ("head", "file"),
    [
        ({"engine_name": "vllm"}, ""),
        ({"engine_name": "vllm", "engine_args": {"ssl_certfile": FILE}}, FILE),
        ({"engine_name": "sglang", "engine_args": {"ssl-certfile": FILE}}, FILE),
        ({"engine_name": "sglang", "engine_args": {"--ssl-certfile": FILE}}, FILE),
        ({"engine_name": "vllm", "engine_args": {"ssl_certfile": None}}, ""),
        ({"engine_name": "lmdeploy", "engine_args": {"ssl": True}, "engine_env": {"SSL_CERTFILE": FILE}}, FILE),
        ({"engine_name": "lmdeploy", "engine_env": {"SSL_CERTFILE": FILE}}, ""),
        ({"engine_image": "e:1", "engine_args": {"ssl_certfile": FILE}, "engine_mounts": MOUNT}, "/srv/tls/own.crt"),
        (
            {"engine_runtime": "podman", "engine_args": {"ssl_certfile": FILE}, "engine_mounts": [{"source": FILE}]},
            FILE,
        ),
        ({"engine_runtime": "process", "engine_args": {"ssl_certfile": FILE}, "engine_mounts": MOUNT}, FILE),
        # a volume has no place on the node that could be known
        (
            {
                "engine_image": "e:1",
                "engine_args": {"ssl_certfile": FILE},
                "engine_mounts": [{"source": "tls", "target": "/etc/tls"}],
            },
            FILE,
        ),
    ],
)
def test_the_file_with_the_certificate(head: dict[str, Any], file: str) -> None:
    assert certificate(head) == file


def test_the_endpoint_of_a_head_with_a_certificate() -> None:
    head = {"ansible_host": "192.0.2.1", "engine_name": "vllm", "engine_args": {"ssl_certfile": FILE}}
    found = endpoint("tiny", [["n1"]], [], {"n1": head})
    assert found["url"] == "https://192.0.2.1:8000/v1"
    one = {
        "name": "n1",
        "host": "0.0.0.0",
        "url": "https://192.0.2.1:8000/v1",
        "certificate": FILE,
        "ready": "http://192.0.2.1:29600/ready",
    }
    assert found["replicas"] == [{**one, "servers": [one]}]
