# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker of the distribution, for real: configured key by key, restarted when it may be, its data moved and brought back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Role = Callable[..., Any]
DAEMON_JSON = "/etc/docker/daemon.json"
COPY = "/usr/local/sbin/cp"
# a sleeping busybox is deaf to SIGTERM, and docker waits ten seconds for it at every restart
DEAF = "--stop-timeout 1"
SETTLED = {"docker_data_root": "/data/docker", "docker_restart_ok": True}


@pytest.fixture(scope="module", autouse=True)
def image(n1: Any) -> None:
    """An image made of nothing but busybox: nodes reach no registry."""
    n1("apt-get install -y -qq busybox-static >/dev/null 2>&1; mkdir -p /image/bin && cp /bin/busybox /image/bin")
    n1("tar -C /image -c . | docker import - tiny:1")


@pytest.fixture(scope="module", autouse=True)
def web(image: None, n1: Any) -> str:
    """A container that runs while all this happens, and has written something into its own layer."""
    n1(f"docker run --detach --name web {DEAF} --restart unless-stopped tiny:1 busybox sleep 100000")
    n1("docker exec web busybox sh -c 'echo mine > /mine'")
    return "web"


@pytest.fixture
def rank(n1: Any) -> Iterator[None]:
    """A unit that runs in docker as a rank does."""
    needs = "--network host --ulimit memlock=-1:-1 --cap-add IPC_LOCK"
    words = f"docker run --rm --name fullrank-rank-tiny {DEAF} {needs} tiny:1 busybox sleep 100000"
    n1(f"systemd-run --quiet --collect --unit=fullrank-rank@tiny --property=Restart=always {words}")
    n1(
        "for i in $(seq 60); do docker ps --format '{{.Names}}' | grep -qx fullrank-rank-tiny && exit; sleep 1; done; exit 1"
    )
    yield
    # the container is deaf, and systemd would wait for it for a minute and a half
    n1(
        "systemctl stop --no-block fullrank-rank@tiny; docker rm --force fullrank-rank-tiny || true;"
        " systemctl stop fullrank-rank@tiny || true"
    )


@pytest.fixture
def copy(n1: Any) -> Iterator[Callable[[str], None]]:
    """Put something in the place of cp, for the time of a test."""

    def stand_in(script: str) -> None:
        n1.write(COPY, f"#!/bin/bash\n{script}")
        n1(f"chmod 755 {COPY}")

    yield stand_in
    n1(f"rm -f {COPY}")


def daemon_json(node: Any) -> dict[str, Any]:
    return dict(json.loads(node(f"cat {DAEMON_JSON}")))


def process(node: Any) -> str:
    return str(node("systemctl show --value --property=MainPID docker"))


def root(node: Any) -> str:
    return str(node("docker info --format '{{.DockerRootDir}}'"))


def assert_all_is_there(node: Any) -> None:
    assert "tiny:1" in node("docker images --format '{{.Repository}}:{{.Tag}}'")
    assert node("docker inspect --format '{{.State.Running}}' web") == "true"
    assert node("docker exec web busybox cat /mine") == "mine"


def test_it_runs_held_packages_with_our_keys(n1: Any) -> None:
    assert {"docker.io", "containerd", "runc"} <= set(n1("apt-mark showhold").split())
    assert daemon_json(n1) == {
        "log-driver": "json-file",
        "log-opts": {"max-size": "100m", "max-file": "3"},
        "live-restore": False,
        "features": {"cdi": True},
    }
    n1("docker run --rm --network host --ulimit memlock=-1:-1 --cap-add IPC_LOCK tiny:1 busybox true")
    assert n1("systemctl is-enabled docker") == "enabled"


def test_check_mode_finds_nothing_to_do(docker: Role) -> None:
    run = docker("--check", "--diff")
    assert (run.rc, run.changed) == (0, 0)


def test_check_mode_tells_what_a_change_would_do(docker: Role, n1: Any) -> None:
    before, pid = daemon_json(n1), process(n1)
    run = docker("--check", "--diff", docker_log_opts={"max-size": "7m"})
    assert run.rc == 0 and run.changed > 0
    assert '+    "max-size": "7m"' in run.text
    assert (daemon_json(n1), process(n1)) == (before, pid)


def test_a_users_keys_stay_and_ours_go_without_a_trace(docker: Role, n1: Any) -> None:
    ours = n1(f"cat {DAEMON_JSON}")
    users = {**json.loads(ours), "debug": True, "runtimes": {"mine": {"path": "/usr/sbin/runc"}}}
    n1.write(DAEMON_JSON, json.dumps(users))
    run = docker(docker_daemon_options={"runtimes": {"other": {"path": "/usr/sbin/runc"}}, "debug": False})
    assert run.rc == 0
    assert daemon_json(n1)["runtimes"] == {"mine": {"path": "/usr/sbin/runc"}, "other": {"path": "/usr/sbin/runc"}}
    assert n1("docker info --format '{{json .Runtimes}}'").count('"path":"/usr/sbin/runc"') >= 2
    assert (
        docker(docker_daemon_options={"runtimes": {"other": {"path": "/usr/sbin/runc"}}, "debug": False}).changed == 0
    )
    assert docker().rc == 0
    assert daemon_json(n1) == users
    n1.write(DAEMON_JSON, ours)
    assert docker().rc == 0


def test_a_file_that_was_only_touched_asks_for_no_restart(docker: Role, n1: Any) -> None:
    pid = process(n1)
    n1(f"touch {DAEMON_JSON}")
    run = docker()
    assert (run.rc, run.changed) == (0, 0) and process(n1) == pid
    # somebody's change, and taken back: seen while it is there
    n1(f"cp {DAEMON_JSON} /root/kept.json")
    n1.write(DAEMON_JSON, json.dumps({**daemon_json(n1), "debug": True}))
    run = docker("--check")
    assert (run.rc, run.changed) == (0, 1)
    n1(f"cp /root/kept.json {DAEMON_JSON}")
    assert docker().changed == 0 and process(n1) == pid


def test_a_users_broken_file_is_refused_and_untouched(docker: Role, n1: Any) -> None:
    good, pid = n1(f"cat {DAEMON_JSON}"), process(n1)
    n1.write(DAEMON_JSON, '{\n  "debug": true,\n  "dns": ["192.0.2.1"\n}')
    broken = n1(f"cat {DAEMON_JSON}; stat --format '%Y %i' {DAEMON_JSON}")
    run = docker()
    assert run.rc != 0 and run.changed == 0
    assert f"{DAEMON_JSON}: not valid JSON at line 4, column 1" in run.text and "it was not touched" in run.text
    assert n1(f"cat {DAEMON_JSON}; stat --format '%Y %i' {DAEMON_JSON}") == broken
    assert process(n1) == pid
    n1.write(DAEMON_JSON, good)


def test_a_key_that_is_a_flag_too_is_refused(docker: Role, n1: Any) -> None:
    dropin = "/etc/systemd/system/docker.service.d/mine.conf"
    n1.write(
        dropin,
        "[Service]\nEnvironment=MINE=--registry-mirror=https://192.0.2.1\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// $MINE",
    )
    n1("systemctl daemon-reload")
    run = docker(docker_registry_mirrors=["https://192.0.2.2"])
    n1(f"rm {dropin}; systemctl daemon-reload")
    assert run.rc != 0 and run.changed == 0
    assert "registry-mirrors: dockerd is started with --registry-mirror too" in run.text and dropin in run.text
    assert "registry-mirrors" not in daemon_json(n1)


def test_docker_comes_back_when_it_does_not_start_with_the_new_file(docker: Role, n1: Any) -> None:
    before = n1(f"cat {DAEMON_JSON}")
    run = docker(docker_daemon_options={"bridge": "nosuch0"})
    assert run.rc != 0
    assert "docker does not start with the new" in run.text and "it runs again with the file of before" in run.text
    assert n1(f"cat {DAEMON_JSON}") == before
    assert "nosuch0" in n1(f"cat {DAEMON_JSON}.failed")
    assert_all_is_there(n1)
    n1(f"rm {DAEMON_JSON}.failed")
    assert docker().rc == 0
    assert docker().changed == 0


@pytest.mark.usefixtures("rank")
def test_docker_is_not_restarted_under_a_rank(docker: Role, n1: Any) -> None:
    pid = process(n1)
    for _ in range(2):  # the second run must still know it
        run = docker(docker_log_opts={"max-size": "5m"})
        assert run.rc == 0 and process(n1) == pid
        assert "would end fullrank-rank@tiny.service" in run.text
    run = docker(docker_data_root="/data/elsewhere")
    assert run.rc != 0 and "would end fullrank-rank@tiny.service" in run.text and process(n1) == pid
    run = docker(docker_log_opts={"max-size": "5m"}, docker_restart_ok=True)
    assert run.rc == 0 and process(n1) != pid
    assert docker(docker_log_opts={"max-size": "5m"}).changed == 0


def test_a_proxy_with_a_password_is_nobodys_business(docker: Role, n1: Any) -> None:
    proxy = "http://me:word@192.0.2.1:3128"
    run = docker("--diff", docker_http_proxy=proxy, docker_no_proxy="192.0.2.0/24")
    assert run.rc == 0 and "me:word" not in run.text
    assert n1("docker info --format '{{.HTTPProxy}}'").endswith("@192.0.2.1:3128")
    assert n1("stat --format %a /etc/fullrank/docker-proxy.env") == "600"
    assert "word" not in n1("systemctl show docker")
    assert docker().rc == 0
    assert n1("docker info --format '{{.HTTPProxy}}'") == ""


def test_a_disk_that_is_too_small_is_refused_before_anything_stops(move: Role, n1: Any) -> None:
    n1("mkdir -p /small && mount -t tmpfs -o size=1m tmpfs /small")
    pid = process(n1)
    run = move("/small/docker")
    n1("umount /small")
    assert run.rc != 0 and run.changed == 0
    assert "are needed at /small/docker, 1 MiB are free" in run.text
    assert process(n1) == pid


def test_a_folder_with_something_in_it_is_refused(move: Role, n1: Any) -> None:
    n1("mkdir -p /data/full/mine")
    run = move("/data/full")
    assert run.rc != 0 and "/data/full is not empty, it holds mine" in run.text


def test_a_disk_that_fills_up_on_the_way_is_taken_back(move: Role, n1: Any, copy: Callable[[str], None]) -> None:
    n1("mkdir -p /small && mount -t tmpfs -o size=200m tmpfs /small")
    copy('head --bytes=199M /dev/zero > /small/ballast; exec /usr/bin/cp "$@"')
    run = move("/small/docker")
    left = n1("ls -A /small/docker")
    n1("umount /small")
    assert run.rc != 0
    assert "No space left on device" in run.text and "docker uses /var/lib/docker again" in run.text
    assert left == "" and root(n1) == "/var/lib/docker" and "data-root" not in daemon_json(n1)
    assert_all_is_there(n1)


def test_half_a_copy_is_noticed_and_taken_back(move: Role, n1: Any, copy: Callable[[str], None]) -> None:
    """A cp that reports success."""
    copy('/usr/bin/cp "$@"; rm -rf "${@: -1}"/image/overlay2/imagedb/content/sha256/*; exit 0')
    run = move("/data/docker")
    assert run.rc != 0
    assert "the copy in /data/docker is not complete: image/overlay2/imagedb" in run.text
    assert n1("ls -A /data/docker") == "" and root(n1) == "/var/lib/docker"
    assert_all_is_there(n1)


def test_an_interrupted_move_is_taken_back_by_the_next_run(move: Role, n1: Any, copy: Callable[[str], None]) -> None:
    copy('/usr/bin/cp "$@"; kill -9 $PPID; exit 1')
    run = move("/data/docker")
    assert run.rc != 0 and not n1.succeeds("systemctl is-active docker.service")
    n1(f"rm {COPY}")
    run = move("/var/lib/docker")
    assert run.rc == 0
    assert n1("ls -A /data/docker") == "" and root(n1) == "/var/lib/docker"
    assert_all_is_there(n1)


def test_a_moved_root_keeps_everything_and_the_old_one_stays_until_asked(move: Role, docker: Role, n1: Any) -> None:
    run = move("/data/docker", "--check", "--diff")
    assert run.rc == 0 and run.changed == 1 and "+docker /data/docker" in run.text
    assert root(n1) == "/var/lib/docker"
    run = docker(**SETTLED)
    assert run.rc == 0
    assert root(n1) == daemon_json(n1)["data-root"] == "/data/docker"
    assert_all_is_there(n1)
    assert docker(**SETTLED).changed == 0
    assert move("/data/docker", "--check").changed == 0
    assert n1("ls /var/lib/docker") != ""
    n1("docker exec web busybox sh -c 'echo more > /more'")
    assert move("/data/docker", remove_old=True).changed == 1
    assert n1("ls -A /var/lib/docker") == ""
    assert move("/data/docker", remove_old=True).changed == 0
    n1("docker run --rm tiny:1 busybox true")
    assert_all_is_there(n1)


def test_images_in_containerd_move_with_containerds_root(docker: Role, move: Role, n1: Any) -> None:
    """As in new installations of docker 29; Debian 13's docker 26 does it when asked."""
    if not n1("docker version --format '{{.Server.Version}}'").startswith("26."):
        pytest.skip("this docker keeps images in its own root only")
    options = {"docker_daemon_options": {"features": {"containerd-snapshotter": True}}}
    assert docker(**SETTLED, **options).rc == 0
    n1("tar -C /image -c . | docker import - other:1")
    n1(f"docker run --detach --name other {DEAF} --restart always other:1 busybox sleep 100000")
    alone = move("/data/docker2")
    assert alone.rc != 0 and "docker keeps its images in containerd on this node" in alone.text
    run = move("/data/docker2", containerd_path="/data/containerd2")
    assert run.rc == 0
    assert root(n1) == "/data/docker2" and 'root = "/data/containerd2"' in n1("cat /etc/containerd/config.toml")
    assert n1("docker inspect --format '{{.State.Running}}' other") == "true"
    assert n1("du -s /data/containerd2 | cut -f1") != "0"
    assert move("/data/docker2", containerd_path="/data/containerd2").changed == 0


def test_removed_it_leaves_the_images(docker: Role, n1: Any) -> None:
    data = root(n1)
    run = docker(room="remove", docker_restart_ok=True)
    assert run.rc == 0
    assert not n1.succeeds("command -v dockerd")
    assert n1(f"ls {data}") != ""
    assert set(daemon_json(n1)) == {"data-root"}
    run = docker(docker_restart_ok=True)
    assert run.rc == 0 and root(n1) == data
    assert n1("docker images --quiet") != ""
