# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role docker computes for each distribution, from the facts that Ansible records there. Nothing is run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from places import CHECKOUT

ROLE = CHECKOUT / "roles/docker"
# ansible_facts of `setup`, gather_subset !all,min: the fields that the role reads
FACTS = {
    "debian12": ("Debian", "Debian", "bookworm", "12", "x86_64"),
    "debian13": ("Debian", "Debian", "trixie", "13", "x86_64"),
    "ubuntu22": ("Debian", "Ubuntu", "jammy", "22", "x86_64"),
    "ubuntu24-arm": ("Debian", "Ubuntu", "noble", "24", "aarch64"),
    "rhel9": ("RedHat", "RedHat", "Plow", "9", "x86_64"),
    "rocky9": ("RedHat", "Rocky", "Blue Onyx", "9", "x86_64"),
}
NAMES = ("os_family", "distribution", "distribution_release", "distribution_major_version", "architecture")


def computed(name: str, machine: str, **variables: Any) -> Any:
    """A variable of the role on such a machine."""
    loader = DataLoader()
    known: dict[str, Any] = {"ansible_facts": dict(zip(NAMES, FACTS[machine], strict=True))}
    for file in ("defaults/main.yml", "vars/main.yml"):
        known |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    known |= variables
    return Templar(loader=loader, variables=known).template(known[name])


@pytest.mark.parametrize(
    ("machine", "address", "architecture"),
    [
        ("debian12", "https://download.docker.com/linux/debian", "amd64"),
        ("debian13", "https://download.docker.com/linux/debian", "amd64"),
        ("ubuntu22", "https://download.docker.com/linux/ubuntu", "amd64"),
        ("ubuntu24-arm", "https://download.docker.com/linux/ubuntu", "arm64"),
        ("rhel9", "https://download.docker.com/linux/rhel/9/$basearch/stable", "amd64"),
        ("rocky9", "https://download.docker.com/linux/rhel/9/$basearch/stable", "amd64"),
    ],
)
def test_the_repository_of_each_distribution(machine: str, address: str, architecture: str) -> None:
    assert computed("__docker_repository_address", machine) == address
    assert computed("__docker_architecture", machine) == architecture
    mirrored = computed("__docker_repository_address", machine, mirrors={"docker": "http://mirror.example/docker"})
    assert mirrored == address.replace("https://download.docker.com", "http://mirror.example/docker")


def test_the_key_of_debian_and_ubuntu_and_that_of_rhel() -> None:
    """docs.docker.com/engine/install."""
    debian = {computed("__docker_fingerprint", one) for one in ("debian12", "debian13", "ubuntu22", "ubuntu24-arm")}
    rhel = {computed("__docker_fingerprint", one) for one in ("rhel9", "rocky9")}
    assert (debian, rhel) == (
        {"9DC858229FC7DD38854AE2D88D81803C0EBFCD88"},
        {"060A61C51B558A7F742B77AAC52FEB6B621E9F35"},
    )


@pytest.mark.parametrize(
    ("variables", "first", "own"),
    [
        ({}, ["docker-ce", "docker-ce-cli", "containerd.io"], True),
        ({"docker_source": "distribution"}, ["docker.io", "docker-cli", "containerd", "runc"], False),
        ({"docker_runtime": "podman"}, ["podman", "crun"], False),
        ({"docker_runtime": "nerdctl"}, ["containerd.io"], True),
        (
            {"docker_plugins": ["compose"]},
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"],
            True,
        ),
    ],
)
def test_what_each_choice_consists_of(variables: dict[str, Any], first: list[str], own: bool) -> None:
    assert [one["names"][0] for one in computed("__docker_wanted", "debian13", **variables)] == first
    assert computed("__docker_own_repository", "debian13", **variables) is own


def test_what_only_docker_reads_is_in_vain_with_another_runtime() -> None:
    variables = {
        "docker_data_root": "/data",
        "docker_daemon_options": {"debug": True},
        "docker_registry_mirrors": ["https://m"],
    }
    assert computed("__docker_in_vain", "debian13", docker_runtime="podman", **variables) == [
        "docker_daemon_options",
        "docker_data_root",
    ]
    assert computed("__docker_in_vain", "debian13", **variables) == []
    assert computed("__docker_in_vain", "debian13", docker_runtime="nerdctl") == []


def test_mirrors_in_the_words_of_each_runtime() -> None:
    mirrors = {"docker_registry_mirrors": ["https://m.example", "http://192.0.2.1:5000/"]}
    [podman] = computed("__docker_mirror_files", "debian13", docker_runtime="podman", **mirrors)
    assert podman["state"] == "present" and podman["content"] == (
        '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n'
        '\n[[registry.mirror]]\nlocation = "m.example"\ninsecure = false\n'
        '\n[[registry.mirror]]\nlocation = "192.0.2.1:5000"\ninsecure = true\n'
    )
    [nerdctl] = computed("__docker_mirror_files", "debian13", docker_runtime="nerdctl", **mirrors)
    assert nerdctl["path"] == "/etc/containerd/certs.d/docker.io/hosts.toml"
    assert '[host."https://m.example"]\n  capabilities = ["pull", "resolve"]\n' in nerdctl["content"]
    [none] = computed("__docker_mirror_files", "debian13", docker_runtime="podman")
    assert none["state"] == "absent"


def test_the_release_of_nerdctl() -> None:
    variables = {"docker_runtime": "nerdctl", "docker_version": "2.2.2"}
    assert computed("__docker_nerdctl_url", "ubuntu24-arm", **variables) == (
        "https://github.com/containerd/nerdctl/releases/download/v2.2.2/nerdctl-2.2.2-linux-arm64.tar.gz"
    )
    assert computed("__docker_nerdctl_url", "debian13", mirrors={"nerdctl": "http://m"}, **variables) == (
        "http://m/v2.2.2/nerdctl-2.2.2-linux-amd64.tar.gz"
    )


def test_the_users_keys_of_daemon_json_win() -> None:
    options = computed(
        "__docker_options", "debian13", docker_daemon_options={"log-opts": {"max-size": "1m"}, "mtu": 9000}
    )
    assert options == {
        "log-driver": "json-file",
        "log-opts": {"max-size": "1m", "max-file": "3"},
        "live-restore": False,
        "features": {"cdi": True},
        "mtu": 9000,
    }
