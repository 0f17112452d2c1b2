"""Exact versions of docker's packages, from what the package managers of each distribution really print."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils import packages

# docker's repository for Ubuntu 24.04 and Debian 13, as users showed it in public repositories (2025 and 2026)
NOBLE = """
 docker-ce | 5:27.5.1-1~ubuntu.24.04~noble | https://download.docker.com/linux/ubuntu noble/stable amd64 Packages
 docker-ce | 5:27.4.1-1~ubuntu.24.04~noble | https://download.docker.com/linux/ubuntu noble/stable amd64 Packages
 docker-ce | 5:27.3.1-1~ubuntu.24.04~noble | https://download.docker.com/linux/ubuntu noble/stable amd64 Packages
"""
TRIXIE = """
   docker-ce | 5:29.3.0-1~debian.13~trixie | https://download.docker.com/linux/debian trixie/stable amd64 Packages
   docker-ce | 5:29.2.1-1~debian.13~trixie | https://download.docker.com/linux/debian trixie/stable amd64 Packages
"""
# `apt-cache madison docker.io docker-cli` on Debian 13 (test ground, November 2026; the mirror by another name)
DISTRIBUTION = """
 docker.io | 26.1.5+dfsg1-9+deb13u1 | http://mirror.example/debian trixie/main amd64 Packages
 docker.io | 26.1.5+dfsg1-9+deb13u1 | http://mirror.example/debian-security trixie-security/main amd64 Packages
docker-cli | 26.1.5+dfsg1-9+deb13u1 | http://mirror.example/debian trixie/main amd64 Packages
"""
# docker-ce.x86_64 3:29.3.1-1.el9 docker-ce-stable (`dnf check-update` of Rocky 9, shown publicly), in our --qf
ROCKY = "docker-ce|3:29.3.1-1.el9|x86_64|docker-ce-stable\ndocker-ce|3:29.3.0-1.el9|x86_64|docker-ce-stable\n"


@pytest.mark.parametrize(
    ("rows", "name", "wanted", "exact"),
    [
        (packages.parse_madison(NOBLE), "docker-ce", "27", "5:27.5.1-1~ubuntu.24.04~noble"),
        (packages.parse_madison(NOBLE), "docker-ce", "27.4.1", "5:27.4.1-1~ubuntu.24.04~noble"),
        (packages.parse_madison(TRIXIE), "docker-ce", "29.2", "5:29.2.1-1~debian.13~trixie"),
        (packages.parse_madison(DISTRIBUTION), "docker.io", "26.1.5", "26.1.5+dfsg1-9+deb13u1"),
        (packages.parse_madison(DISTRIBUTION), "docker-cli", "26", "26.1.5+dfsg1-9+deb13u1"),
        (packages.parse_repoquery(ROCKY), "docker-ce", "29.3.0", "3:29.3.0-1.el9"),
        (packages.parse_repoquery(ROCKY), "docker-ce", "29", "3:29.3.1-1.el9"),
    ],
)
def test_a_version_becomes_an_exact_one(rows: list[packages.Candidate], name: str, wanted: str, exact: str) -> None:
    chosen, problems = packages.resolve(rows, [name], wanted, "docker_version")
    assert problems == [] and chosen is not None and chosen.version == exact


def test_a_version_that_is_not_there_is_answered_with_those_that_are() -> None:
    chosen, [problem] = packages.resolve(packages.parse_madison(NOBLE), ["docker-ce"], "28", "docker_version")
    assert chosen is None
    assert "27.5.1-1~ubuntu.24.04~noble" in problem["message"] and "docker_version" in problem["remedy"]
