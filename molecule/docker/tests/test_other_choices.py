# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's own repository, by a stand-in with packages that are no docker; podman of the distribution; and nerdctl, a stand-in on
the distribution's containerd."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import NET

from tests.standins.apt_repository import Deb, SigningKey, publish, serve

Role = Callable[..., Any]
SERVER = """#!/usr/bin/python3
import sys, time
print("--validate" if "--help" in sys.argv else "configuration OK")
if not {"--help", "--validate"} & set(sys.argv): time.sleep(1e6)
"""
CLIENT = """#!/usr/bin/python3
import json, sys
config = json.load(open("/etc/docker/daemon.json"))
if "info" in sys.argv:
    print(json.dumps({"LoggingDriver": config["log-driver"], "LiveRestoreEnabled": config["live-restore"]}))
"""
NERDCTL = """#!/usr/bin/python3
import json, subprocess
subprocess.run(["ctr", "version"], check=True, stdout=subprocess.DEVNULL)
print(json.dumps({"ServerVersion": "of the containerd that answers"}))
"""
UNIT = "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n[Install]\nWantedBy=multi-user.target\n"


def release(version: str, codename: str) -> list[Deb]:
    """docker-ce in one version, as the vendor cuts it."""
    full = f"5:{version}-1~debian~{codename}"
    return [
        Deb(
            "docker-ce",
            full,
            depends="docker-ce-cli, containerd.io",
            files={"/usr/bin/dockerd": SERVER, "/lib/systemd/system/docker.service": UNIT},
            scripts={"postinst": "systemctl daemon-reload; systemctl restart docker", "prerm": "systemctl stop docker"},
        ),
        Deb("docker-ce-cli", full, files={"/usr/bin/docker": CLIENT}),
        Deb("containerd.io", f"1.7.{version[:2]}-1"),
    ]


@pytest.fixture(scope="module")
def key() -> Iterator[SigningKey]:
    with SigningKey() as made:
        yield made


@pytest.fixture(scope="module")
def repository(key: SigningKey, n2: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    codename = n2(". /etc/os-release; echo $VERSION_CODENAME")
    folder = tmp_path_factory.mktemp("docker")
    debs = [*release("28.4.0", codename), *release("28.5.2", codename), *release("29.1.0", codename)]
    publish(folder / "linux/debian", debs, key, suite=codename, component="stable")
    (folder / "linux/debian/gpg").write_text(key.public())
    with serve(Path(folder), address=f"{NET}.1") as url:
        yield {"mirrors": {"docker": url}, "target": "n2", "source": "docker-ce"}


def installed(node: Any) -> str:
    return str(node("dpkg-query --show --showformat='${Version}' docker-ce"))


def test_a_check_run_on_a_new_node_reports_what_would_come(docker: Role, n2: Any) -> None:
    lists = n2("ls /var/lib/apt/lists")
    run = docker("--check", "--diff", target="n2")
    assert run.rc == 0 and run.changed > 0
    assert "+docker.io, by lists that would be read first" in run.text
    assert '+  "log-driver": "json-file"' in run.text
    assert n2("ls /var/lib/apt/lists") == lists and not n2.succeeds("ls /etc/docker/daemon.json")


def test_another_key_is_refused_before_anything_is_written(docker: Role, repository: dict[str, Any], n2: Any) -> None:
    run = docker(**repository, docker_version="28")
    assert run.rc != 0 and run.changed == 0
    assert (
        "is refused, its fingerprint is" in run.text
        and "instead of 9DC858229FC7DD38854AE2D88D81803C0EBFCD88" in run.text
    )
    assert not n2.succeeds("ls /etc/apt/sources.list.d/docker.sources")


def test_an_exact_version_is_resolved_and_held_and_older_sources_go(
    docker: Role, repository: dict[str, Any], key: SigningKey, n2: Any
) -> None:
    older = f"deb [signed-by=/usr/share/keyrings/other.gpg] {repository['mirrors']['docker']}/linux/debian sid stable"
    n2.write("/etc/apt/sources.list.d/old-docker.list", older)
    variables = {**repository, "docker_repository_fingerprint": key.fingerprint()}
    planned = docker("--check", **variables, docker_version="28")
    assert planned.rc == 0 and planned.changed > 0
    run = docker(**variables, docker_version="28")
    assert run.rc == 0
    assert installed(n2).startswith("5:28.5.2-1")
    assert {"docker-ce", "docker-ce-cli", "containerd.io"} <= set(n2("apt-mark showhold").split())
    assert older in n2("cat /etc/apt/sources.list.d/old-docker.list.save")
    assert "Signed-By: /etc/apt/keyrings/docker.asc" in n2("cat /etc/apt/sources.list.d/docker.sources")
    again = docker(**variables, docker_version="28")
    assert (again.rc, again.changed) == (0, 0)
    # what is newer in the repository waits
    n2("apt-get update -qq && apt-get -qq -y dist-upgrade")
    assert installed(n2).startswith("5:28.5.2-1")


def test_a_version_that_is_not_offered_is_reported_with_those_that_are(
    docker: Role, repository: dict[str, Any], key: SigningKey, n2: Any
) -> None:
    run = docker(**repository, docker_repository_fingerprint=key.fingerprint(), docker_version="27.1")
    assert run.rc != 0
    assert "no docker-ce of version 27.1" in run.text and "28.5.2-1" in run.text
    assert installed(n2).startswith("5:28.5.2-1")


def test_the_two_sources_of_docker_are_not_mixed(docker: Role) -> None:
    run = docker(target="n2", source="distribution")
    assert run.rc != 0 and run.changed == 0
    assert "docker_source: docker is installed from the other source; write docker-ce" in run.text


def test_removed_it_leaves_no_source(docker: Role, repository: dict[str, Any], n2: Any) -> None:
    assert docker(**repository, room="remove").rc == 0
    assert not n2.succeeds(
        "ls /etc/apt/sources.list.d/docker.sources || ls /etc/apt/keyrings/docker.asc || command -v dockerd"
    )


def test_podman_runs_what_a_rank_needs(docker: Role, n2: Any) -> None:
    # crun of Debian 12 insists on raising a limit
    runtime = "runc" if n2(". /etc/os-release; echo $VERSION_CODENAME") == "bookworm" else "crun"
    n2(f"apt-get update -qq && apt-get install -y -qq {runtime} >/dev/null 2>&1")
    n2.write(
        "/etc/containers/containers.conf",
        f'[containers]\npids_limit = 0\n[engine]\nruntime = "{runtime}"\n'
        f'[engine.runtimes]\n{runtime} = ["/usr/local/sbin/{runtime}"]',
    )
    # a node of the test ground may not make the whiteouts of overlayfs by itself, and its cgroups count no processes
    storage = '[storage]\ndriver = "vfs"\ngraphroot = "/data/podman"\nrunroot = "/run/containers/storage"'
    n2.write("/etc/containers/storage.conf", storage)
    variables = {"target": "n2", "docker_runtime": "podman", "docker_registry_mirrors": ["http://192.0.2.1:5000"]}
    run = docker(**variables)
    assert run.rc == 0
    assert docker(**variables).changed == 0
    assert "192.0.2.1:5000" in n2("podman info --format '{{json .Registries}}'"), "podman has read the mirror"
    n2("apt-get install -y -qq busybox-static >/dev/null 2>&1; mkdir -p /image/bin && cp /bin/busybox /image/bin")
    n2("tar -C /image -c . | podman import - tiny:1")
    words = "--rm --network host --ipc host --ulimit memlock=-1:-1 --cap-add IPC_LOCK"
    assert n2(f"podman run {words} tiny:1 busybox echo ready") == "ready"


def test_what_only_docker_reads_is_refused_with_another_runtime(docker: Role) -> None:
    run = docker(target="n2", docker_runtime="podman", docker_data_root="/data/x", docker_http_proxy="http://192.0.2.1")
    assert run.rc != 0 and run.changed == 0
    assert "docker_http_proxy, docker_data_root: only docker reads this" in " ".join(run.text.split())
    run = docker(target="n2", docker_runtime="nerdctl")
    assert run.rc != 0 and run.changed == 0
    assert "write an exact version of it" in run.text and "docker_nerdctl_sha256: write the sum of" in run.text


@pytest.fixture(scope="module")
def nerdctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A release of nerdctl by its name, with a program that asks the node's containerd."""
    folder = tmp_path_factory.mktemp("nerdctl")
    archive = folder / "v2.2.2/nerdctl-2.2.2-linux-amd64.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        for name in ("nerdctl", "containerd-rootless.sh"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(NERDCTL), 0o755
            file.addfile(entry, io.BytesIO(NERDCTL.encode()))
    with serve(folder, address=f"{NET}.1") as url:
        yield {
            "target": "n2",
            "docker_runtime": "nerdctl",
            "docker_version": "2.2.2",
            "docker_nerdctl_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
            "docker_registry_mirrors": ["https://mirror.invalid"],
            "mirrors": {"nerdctl": url},
        }


def test_nerdctl_of_a_known_sum_on_the_distributions_containerd(docker: Role, nerdctl: dict[str, Any], n2: Any) -> None:
    wrong = docker(**{**nerdctl, "docker_nerdctl_sha256": "0" * 64})
    assert wrong.rc != 0 and "checksum" in wrong.text
    assert not n2.succeeds("command -v nerdctl")
    planned = docker("--check", "--diff", **nerdctl)
    assert planned.rc == 0 and planned.changed > 0
    run = docker(**nerdctl)
    assert run.rc == 0
    assert n2("systemctl is-active containerd; systemctl is-enabled containerd").split() == ["active", "enabled"]
    assert {"containerd", "runc"} <= set(n2("apt-mark showhold").split())
    assert 'host."https://mirror.invalid"' in n2("cat /etc/containerd/certs.d/docker.io/hosts.toml")
    assert n2("ls /usr/local/bin") == "nerdctl", "nothing else of the archive"
    assert docker(**nerdctl).changed == 0
    assert docker("--check", **nerdctl).changed == 0


def test_nerdctl_goes_and_containerd_stays(docker: Role, nerdctl: dict[str, Any], n2: Any) -> None:
    assert docker(**nerdctl, room="remove").rc == 0
    assert not n2.succeeds("command -v nerdctl || ls /etc/containerd/certs.d/docker.io/hosts.toml")
    assert n2("systemctl is-active containerd") == "active"
