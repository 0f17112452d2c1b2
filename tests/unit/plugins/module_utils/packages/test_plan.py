# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact versions of the packages that the roles docker and rdma name, from what the package managers of each distribution print.

data/repositories/SOURCES.md lists where the listings are from.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.packages import plan
from ansible_collections.fullrank.serving.plugins.module_utils.packages import versions as packages_versions
from ansible_collections.fullrank.serving.plugins.module_utils.packages.versions import Candidate
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import stack
from ansible_collections.fullrank.serving.plugins.modules.held_packages import ENTRY
from places import CHECKOUT, DATA

REPOSITORIES = DATA / "repositories"
ROLE = yaml.safe_load((CHECKOUT / "roles/docker/vars/main.yml").read_text())
DEBIAN_12, DEBIAN_13 = "debian-bookworm.madison", "debian-trixie.madison"
UBUNTU_22, UBUNTU_24 = "ubuntu-jammy-nodes.madison", "ubuntu-noble-nodes.madison"


def offered(name: str) -> list[Candidate]:
    text = (REPOSITORIES / name).read_text()
    return (
        packages_versions.parse_repoquery(text)
        if name.endswith(".repoquery")
        else packages_versions.parse_madison(text)
    )


def entry(one: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """An entry of held_packages as the role gives it; its expressions are those variables."""
    plain = {option: rules.get("default") for option, rules in ENTRY.items()}
    return {**plain, **one, "version": versions.get(one.get("where", ""), "") if "version" in one else ""}


def settled(listing: str, choice: str, **versions: str) -> plan.Targets:
    entries = [entry(one, versions) for one in ROLE["__docker_packages_of"][choice]]
    return plan.settle_by(entries, [], offered(listing))


@pytest.mark.parametrize(
    ("listing", "choice", "versions", "exact"),
    [
        (
            DEBIAN_12, "distribution", {},
            {"docker.io": "20.10.24+dfsg1-1+deb12u1+b6", "containerd": "1.6.20~ds1-1+deb12u3", "runc": "1.1.5+ds1-1+deb12u1"},
        ),
        (
            DEBIAN_13, "distribution", {"docker_version": "26.1", "docker_containerd_version": "1.7.24"},
            {
                "docker.io": "26.1.5+dfsg1-9+deb13u1+b1", "docker-cli": "26.1.5+dfsg1-9+deb13u1+b1",
                "containerd": "1.7.24~ds1-6+deb13u1", "runc": "1.1.15+ds1-2+deb13u1",
            },
        ),
        (
            UBUNTU_22, "distribution", {"docker_version": "20.10"},
            {"docker.io": "20.10.21-0ubuntu1~22.04.3", "containerd": "1.6.12-0ubuntu1~22.04.3", "runc": "1.1.4-0ubuntu1~22.04.3"},
        ),
        (
            UBUNTU_24, "distribution", {"docker_version": "28"},
            {"docker.io": "28.2.2-0ubuntu1~24.04.1", "containerd": "1.7.28-0ubuntu1~24.04.2", "runc": "1.3.3-0ubuntu1~24.04.3"},
        ),
        (
            "docker-jammy.madison", "docker-ce", {"docker_version": "20.10.22", "docker_containerd_version": "1.6.15"},
            {
                "docker-ce": "5:20.10.22~3-0~ubuntu-jammy", "docker-ce-cli": "5:20.10.22~3-0~ubuntu-jammy",
                "containerd.io": "1.6.15-1",
            },
        ),
        (
            "docker-noble.madison", "docker-ce", {"docker_version": "28", "docker_containerd_version": "1.7"},
            {
                "docker-ce": "5:28.3.1-1~ubuntu.24.04~noble", "docker-ce-cli": "5:28.3.1-1~ubuntu.24.04~noble",
                "containerd.io": "1.7.25-1",
            },
        ),
        (
            # two epochs for one release
            "docker-rhel9.repoquery", "docker-ce", {"docker_version": "29.3.0"},
            {"docker-ce": "3:29.3.0-1.el9", "docker-ce-cli": "1:29.3.0-1.el9", "containerd.io": "2.2.5-1.el9"},
        ),
        (DEBIAN_12, "podman", {}, {"podman": "4.3.1+ds1-8+deb12u1+b3", "crun": "1.8.1-1+deb12u1"}),
        (DEBIAN_13, "podman", {"docker_version": "5"}, {"podman": "5.4.2+ds1-2+b2", "crun": "1.21-1"}),
        (
            DEBIAN_13, "nerdctl, distribution", {"docker_version": "2.2.2"},
            {
                "containerd": "1.7.24~ds1-6+deb13u1", "runc": "1.1.15+ds1-2+deb13u1",
                "containernetworking-plugins": "1.1.1+ds1-3+b17",
            },
        ),
        ("docker-noble.madison", "nerdctl, docker-ce", {}, {"containerd.io": "2.2.1-1~ubuntu.24.04~noble"}),
    ],
)  # fmt: skip
def test_each_choice_becomes_exact_versions(
    listing: str, choice: str, versions: dict[str, str], exact: dict[str, str]
) -> None:
    targets = settled(listing, choice, **versions)
    assert (targets.problems, targets.versions) == ([], exact)
    assert set(targets.hold) == set(exact), "all of them are held"


def test_a_version_that_is_not_there_is_answered_with_those_that_are() -> None:
    problems = settled("docker-noble.madison", "docker-ce", docker_version="26").problems
    assert [one["data"]["names"] for one in problems] == [["docker-ce"], ["docker-ce-cli"]]
    assert "28.3.1-1~ubuntu.24.04~noble" in problems[0]["message"] and "docker_version" in problems[0]["remedy"]


@pytest.mark.parametrize(
    ("listing", "source", "exact"),
    [
        (
            "docker-noble.madison", "docker-ce",
            {"docker-buildx-plugin": "0.31.1-1~ubuntu.24.04~noble", "docker-compose-plugin": "5.0.2-1~ubuntu.24.04~noble"},
        ),
        ("docker-rhel9.repoquery", "docker-ce", {"docker-buildx-plugin": "0.35.0-1.el9", "docker-compose-plugin": "5.2.0-1.el9"}),
        (DEBIAN_13, "distribution", {"docker-buildx": "0.13.1+ds1-3", "docker-compose": "2.26.1-4"}),
    ],
)  # fmt: skip
def test_plugins_of_the_client(listing: str, source: str, exact: dict[str, str]) -> None:
    targets = plan.settle_by(plugins(source), [], offered(listing))
    assert (targets.problems, targets.versions) == ([], exact)


def plugins(source: str) -> list[dict[str, Any]]:
    return [entry(one, {}) for one in ROLE["__docker_plugins_of"][source].values()]


@pytest.mark.parametrize("listing", [DEBIAN_12, UBUNTU_24])
def test_the_compose_of_before_is_no_plugin(listing: str) -> None:
    """The listing of Ubuntu 24.04 lacks docker-compose-v2, which is in its updates."""
    targets = plan.settle_by(plugins("distribution")[1:], [], offered(listing))
    [problem] = targets.problems
    assert (
        "docker-compose 1.29.2 is offered, 2 is needed" in problem["message"] and problem["remedy"] == "take docker-ce"
    )


@pytest.mark.parametrize(
    ("listing", "versions"),
    [
        (DEBIAN_12, {"rdma-core": "44.0-2", "librdmacm1": "44.0-2", "perftest": "4.5+0.17-1"}),
        (DEBIAN_13, {"rdma-core": "56.1-1", "librdmacm1t64": "56.1-1", "perftest": "25.01.0+0.80-1"}),
    ],
)
def test_rdma_of_the_distribution(listing: str, versions: dict[str, str]) -> None:
    entries = [entry(one, {}) for one in stack.packages(stack.INBOX, "debian", "")]
    targets = plan.settle_by(entries, [], offered(listing))
    assert targets.problems == [] and len(targets.versions) == 6
    assert versions.items() <= targets.versions.items()
    assert targets.hold == [], "security updates reach them"


def test_rdma_of_ubuntu_as_far_as_its_listings_go() -> None:
    """Ubuntu 24.04 has the library under Debian 13's name; of 22.04 one package was seen."""
    names = {one["names"][0]: one for one in stack.packages(stack.INBOX, "debian", "")}
    for listing, name, version in (
        (UBUNTU_24, "librdmacm1t64", "50.0-2ubuntu0.2"),
        (UBUNTU_22, "ibverbs-providers", "39.0-1"),
    ):
        targets = plan.settle_by([entry(names[name], {})], [], offered(listing))
        assert targets.versions == {name: version}


def test_mismatched_are_those_of_another_version() -> None:
    outlook = {"libdrv": "590.1-1", "drv": "580.1-1", "libc6": "2-1"}
    assert plan.mismatched(outlook, "drv", "580.1") == ["libdrv"]
    assert plan.members(outlook, "drv", "580.1") == ["drv"]
