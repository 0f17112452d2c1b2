# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which further words a container runtime is given."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import container_args
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request

PUBLISH = "publish-with-host-network"


def checked(words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    request = Request(engine="sglang", engine_version="0.5.5", container_args=tuple(words))
    remaining, findings = container_args.check(request)
    return remaining, [(found["severity"], found["code"]) for found in findings]


@pytest.mark.parametrize(
    ("words", "remaining", "findings"),
    [
        (["--cpus", "8", "--label=a=b"], ["--cpus", "8", "--label=a=b"], []),
        (["--privileged"], [], [("warn", "privileged")]),
        (["--privileged=true", "--cpus", "8"], ["--cpus", "8"], [("warn", "privileged")]),
        (["-p", "30000:30000", "--cpus=8"], ["--cpus=8"], [("warn", PUBLISH)]),
        (["--publish=80:80"], [], [("warn", PUBLISH)]),
        (["--shm-size", "32g"], [], [("warn", "shm-size-with-host-ipc")]),
        (["--gpus", "all"], [], [("warn", "gpus-flag")]),
        (["--pid=host"], [], [("warn", "host-pid")]),
        (["-d", "--cpus=8"], ["--cpus=8"], [("fail", "detached")]),
        (["-it"], [], [("warn", "no-terminal"), ("warn", "no-terminal")]),
        (["-tdP", "--cpus=8"], ["--cpus=8"], [("warn", "no-terminal"), ("fail", "detached"), ("warn", PUBLISH)]),
        (["--restart", "always"], [], [("fail", "restart-twice")]),
        (["--entrypoint", "/bin/bash"], [], [("fail", "container-arg-owned")]),
        (["--rm", "--name=x"], [], [("fail", "container-arg-owned"), ("fail", "container-arg-owned")]),
    ],
)
def test_words(words: list[str], remaining: list[str], findings: list[tuple[str, str]]) -> None:
    assert checked(words) == (remaining, findings)


@pytest.mark.parametrize(("meant", "severity"), [(False, "fail"), (True, "warn")])
def test_what_gives_the_container_the_node_is_refused_unless_it_is_meant(meant: bool, severity: str) -> None:
    request = Request(
        engine="vllm",
        engine_version="0.32.0",
        runtime="docker",
        image="i",
        model="/etc",
        mounts=({"source": "/var/run/docker.sock", "target": "/x"}, {"source": "/data"}),
        container_args=("--cap-add", "SYS_ADMIN", "--cpus", "8"),
        container_unconfined=meant,
    )
    remaining, findings = container_args.check(request)
    assert remaining == ["--cap-add", "SYS_ADMIN", "--cpus", "8"]
    assert [(one["severity"], one["where"]) for one in findings] == [
        (severity, "engine_container_args"),
        (severity, "engine_mounts"),
        (severity, "engine_mounts"),
    ]
    assert all(("engine_container_unconfined: true" in one["remedy"]) == (not meant) for one in findings)


def test_a_process_has_no_container_to_confine() -> None:
    request = Request(engine="vllm", engine_version="0.32.0", model="/etc", mounts=({"source": "/"},))
    assert container_args.check(request) == ([], [])
