# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit of a rank: exactly the words of the launch, whatever they hold."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.rank import units


def rendered(**changes: object) -> str:
    params: dict[str, object] = {
        "deployment": "tiny",
        "description": "tiny: 100% of it",
        "argv": ["/opt/venv/bin/vllm", "serve", "--x", '{"a": 1}'],
        "env": {"B": "2", "A": "a b"},
        "spec_hash": "abc",
        "environment_file": "",
        "load_credential": "",
        "stop_timeout": 60,
        "dynamic_user": False,
    }
    return units.render_unit(**{**params, **changes})  # type: ignore[arg-type]


def test_the_unit_holds_command_environment_and_hash() -> None:
    lines = rendered().splitlines()
    assert 'ExecStart=/opt/venv/bin/vllm serve --x "{\\"a\\": 1}"' in lines
    assert [line for line in lines if line.startswith("Environment=")] == [
        'Environment="A=a b"',
        "Environment=B=2",
        "Environment=FULLRANK_SPEC_HASH=abc",
    ]
    assert "Description=tiny: 100%% of it" in lines
    assert "User=root" in lines
    assert not any(line.startswith("EnvironmentFile=") for line in lines)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"environment_file": "/etc/fullrank/tiny.secret.env"}, "EnvironmentFile=/etc/fullrank/tiny.secret.env"),
        ({"load_credential": "secret.yaml:/etc/x.yaml"}, "LoadCredential=secret.yaml:/etc/x.yaml"),
        ({"dynamic_user": True}, "DynamicUser=yes"),
        ({"stop_timeout": 5}, "TimeoutStopSec=5"),
    ],
)
def test_what_the_caller_chooses_is_in_the_unit(changes: dict[str, object], line: str) -> None:
    assert line in rendered(**changes).splitlines()


def test_nothing_of_a_container_outlives_its_unit() -> None:
    text = rendered(
        container={"runtime": "docker", "name": "fullrank-rank-tiny"}, argv=["docker", "run"], env={"A": "1"}
    )
    lines = text.splitlines()
    start = lines.index("ExecStart=docker run")
    assert lines[start - 1 : start + 3] == [
        "ExecStartPre=-docker rm --force fullrank-rank-tiny",
        "ExecStart=docker run",
        "ExecStop=/bin/sh -c 'test -z \"$$MAINPID\" || exec docker stop -t 60 fullrank-rank-tiny'",
        "ExecStopPost=-docker rm --force fullrank-rank-tiny",
    ]
    assert "TimeoutStopSec=90" in lines, "the runtime gets time to remove the container after the engine's own"
    assert "After=network-online.target docker.service" in lines
    assert "Environment=A=1" not in lines, "docker inspect shows it, the unit need not"


def test_podman_has_no_daemon_to_wait_for() -> None:
    text = rendered(container={"runtime": "podman", "name": "fullrank-rank-tiny"})
    assert "After=network-online.target\n" in text
