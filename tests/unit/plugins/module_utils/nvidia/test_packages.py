# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a node and what its repositories list to exact versions, for each distribution; nothing is installed here."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import container_toolkit
from nvidia_nodes import B200, DEBIAN, GB200, H100, L40S, ROCKY, UBUNTU, V100, facts, plan, settled
from places import CHECKOUT, DATA
from toolkit_nodes import facts as toolkit_facts

DEBIAN_12 = {**DEBIAN, "version": "12", "codename": "bookworm"}


@pytest.mark.parametrize(
    ("os", "gpus", "listing", "wanted", "expected"),
    [
        (
            DEBIAN_12,
            (L40S,),
            "debian12.madison",
            {"source": "distribution", "version": "535"},
            {
                "nvidia-driver": "535.309.01-0+deb12u1",
                "nvidia-kernel-dkms": "535.309.01-0+deb12u1",
                "nvidia-smi": "535.309.01-0+deb12u1",
                # Debian builds it from a source of its own
                "nvidia-persistenced": "535.171.04-1~deb12u1",
            },
        ),
        (
            DEBIAN,
            (L40S,),
            "debian13.madison",
            {"source": "distribution", "version": "550"},
            {
                "nvidia-driver": "550.163.01-2",
                "nvidia-kernel-dkms": "550.163.01-2",
                "nvidia-smi": "550.163.01-2",
                "nvidia-persistenced": "550.163.01-1",
            },
        ),
        (
            DEBIAN_12,
            (V100,),
            "debian12.madison",
            {"source": "distribution", "version": "535.261.03"},
            {
                "nvidia-driver": "535.261.03-1",
                "nvidia-kernel-dkms": "535.261.03-1",
                "nvidia-smi": "535.261.03-1",
                "nvidia-persistenced": "535.171.04-1~deb12u1",
            },
        ),
        (
            ROCKY,
            (H100,),
            "cuda-rhel9-580.repoquery",
            {"version": "580"},
            {
                "nvidia-open": "3:580.126.09-1.el9",
                "nvidia-persistenced": "3:580.126.09-1.el9",
                "nvidia-fabricmanager": "580.126.09-1",
            },
        ),
        (
            ROCKY,
            (B200,),
            "cuda-rhel9-580.repoquery",
            {"version": "580.126.09"},
            {
                "nvidia-open": "3:580.126.09-1.el9",
                "nvidia-persistenced": "3:580.126.09-1.el9",
                "nvidia-fabricmanager": "580.126.09-1",
                "nvlsm": "2025.06.11-1",
                "libnvsdm": "580.126.09-1",
            },
        ),
        (
            ROCKY,
            (GB200,),
            "cuda-rhel9-580.repoquery",
            {"version": "580.126.09"},
            {
                "nvidia-open": "3:580.126.09-1.el9",
                "nvidia-persistenced": "3:580.126.09-1.el9",
                "nvidia-imex": "580.126.09-1",
            },
        ),
    ],
)
def test_what_a_listing_comes_to(
    os: dict[str, str], gpus: tuple[int, ...], listing: str, wanted: dict[str, str], expected: dict[str, str]
) -> None:
    beside = ("dkms", "python3-dnf-plugin-versionlock")
    entries = [
        one
        for one in plan(facts(os, gpus, headers=True), **wanted)["packages"]
        if not set(one["names"]) & set(beside)  # of other repositories
    ]
    targets = settled(entries, listing)
    assert (targets.problems, targets.versions) == ([], expected)


def test_ubuntus_signed_modules_are_those_of_the_running_kernel() -> None:
    noble = plan(facts(UBUNTU, (H100,), kernel="6.8.0-106-generic"), source="distribution", version="570")
    assert settled(noble["packages"], "ubuntu-noble.madison").versions == {
        "nvidia-headless-no-dkms-570-server-open": "570.211.01-0ubuntu1.24.04.1",
        "nvidia-utils-570-server": "570.211.01-0ubuntu1.24.04.1",
        "linux-modules-nvidia-570-server-open-6.8.0-106-generic": "6.8.0-106.106",
        "linux-modules-nvidia-570-server-open-generic": "6.8.0-106.106",
        "nvidia-fabricmanager-570": "570.211.01-0ubuntu1.24.04.1",
    }
    newer = plan(facts(UBUNTU, (L40S,), kernel="6.8.0-111-generic"), source="distribution", version="570")
    (problem,) = settled(newer["packages"], "ubuntu-noble.madison").problems
    assert "boot the newest kernel of linux-image-generic" in problem["remedy"]


def test_debians_open_modules_get_no_security_updates() -> None:
    """Decision 047: the driver is at 535.309.01 there, the open modules stay at 535.261.03."""
    entries = plan(facts(DEBIAN_12, (L40S,), headers=True), source="distribution", version="535", modules="open")[
        "packages"
    ]
    (problem,) = settled(entries, "debian12.madison").problems
    assert "no nvidia-open-kernel-dkms of version 535.309.01" in problem["message"]


def test_a_fabric_manager_is_not_in_debians_archive() -> None:
    node = plan(facts(DEBIAN_12, (H100,), headers=True), source="distribution", version="535")
    (problem,) = settled(node["packages"], "debian12.madison").problems
    assert "no repository of this node has nvidia-fabricmanager or nvidia-fabricmanager-535" in problem["message"]


def test_the_fabric_manager_of_rhel_changed_its_name() -> None:
    found = plan(facts(ROCKY, (H100,)), source="runfile", version="570.211.01")["packages"]
    (manager,) = [one for one in found if "nvidia-fabricmanager" in one["names"]]
    assert settled([manager], "cuda-rhel9-580.repoquery").versions == {"nvidia-fabric-manager": "570.211.01-1"}


@pytest.mark.parametrize(
    ("listing", "wanted", "version"),
    [
        ("container-toolkit.madison", "1.18", "1.18.2-1"),
        ("container-toolkit.madison", "1.18.1", "1.18.1-1"),
        ("container-toolkit.madison", "1.19", "1.19.1-1"),
        ("cuda-rhel9-580.repoquery", "1.18", "1.18.1-1"),
    ],
)
def test_the_toolkits_four_packages(listing: str, wanted: str, version: str) -> None:
    entries = container_toolkit.plan(toolkit_facts(), wanted, "https://m", "", "docker")["packages"]
    targets = settled(entries, listing)
    assert (targets.problems, targets.versions) == ([], dict.fromkeys(container_toolkit.PACKAGES, version))


def test_every_listing_is_resolved_somewhere() -> None:
    tests = "".join(path.read_text() for path in (CHECKOUT / "tests/unit").rglob("test_*.py"))
    listings = (DATA / "repositories").iterdir()
    assert [path.name for path in listings if path.suffix != ".md" and path.name not in tests] == []
