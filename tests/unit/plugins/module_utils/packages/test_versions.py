# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing an exact version from what a repository offers, and the stand-in repository that other tests choose from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.packages import versions
from hypothesis import example, given
from hypothesis import strategies as st
from places import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "tests/standins"))
from apt_repository import Deb, SigningKey, publish, serve, sign

MADISON = """\
nvidia-open | 590.44.01-1 | https://mirror.invalid/cuda  Packages
nvidia-open | 580.105.08-1 | https://mirror.invalid/cuda  Packages
nvidia-open | 580.95.05-1 | https://mirror.invalid/cuda  Packages
nvidia-fabricmanager | 590.44.01-1 | https://mirror.invalid/cuda  Packages
nvidia-fabricmanager | 580.95.05-1 | https://mirror.invalid/cuda  Packages
nvidia-fabricmanager-575 | 575.57.08-1 | https://mirror.invalid/cuda  Packages
docker-ce | 5:28.5.2-1~debian.13~trixie | https://mirror.invalid/docker trixie/stable amd64 Packages
nvidia-graphics-drivers | 535.216.01-1 | http://mirror.invalid/debian trixie/non-free Sources
"""
REPOQUERY = """\
nvidia-open|3:580.95.05-1.el9|noarch|cuda-rhel9-x86_64
nvidia-open|3:580.105.08-1.el9|noarch|cuda-rhel9-x86_64
nvidia-container-toolkit|0:1.18.0-1|x86_64|nvidia-container-toolkit
nvidia-container-toolkit|0:1.18.0-1|src|nvidia-container-toolkit
"""


def test_rows_of_madison() -> None:
    found = versions.parse_madison(MADISON)
    assert len(found) == 7, "no source packages"
    assert (found[0].name, found[0].version, found[0].branch) == ("nvidia-open", "590.44.01-1", "590")
    assert found[-1].upstream == "28.5.2"
    assert versions.parse_madison("N: Unable to locate package x\n") == []


def test_rows_of_repoquery() -> None:
    found = versions.parse_repoquery(REPOQUERY)
    assert [one.version for one in found] == ["3:580.95.05-1.el9", "3:580.105.08-1.el9", "1.18.0-1"]
    assert found[0].upstream == "580.95.05"


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        ("580.95.05", "580.95.05-1"),
        ("580.95.05-1", "580.95.05-1"),
        ("580", "580.105.08-1"),
        ("580.95", "580.95.05-1"),
        ("590", "590.44.01-1"),
    ],
)
def test_a_version_or_the_newest_of_a_branch(wanted: str, version: str) -> None:
    found, checks = versions.resolve(versions.parse_madison(MADISON), ["nvidia-open"], wanted, "nvidia_driver_version")
    assert (found and found.version, checks) == (version, [])


def test_rpm_versions_are_compared_as_numbers() -> None:
    found, _ = versions.resolve(versions.parse_repoquery(REPOQUERY), ["nvidia-open"], "580", "nvidia_driver_version")
    assert found and found.version == "3:580.105.08-1.el9"


def test_the_first_name_that_offers_it() -> None:
    offered = versions.parse_madison(MADISON)
    for version, name in (("580.95.05", "nvidia-fabricmanager"), ("575.57.08", "nvidia-fabricmanager-575")):
        branch = version.partition(".")[0]
        names = ["nvidia-fabricmanager", f"nvidia-fabricmanager-{branch}"]
        found, checks = versions.resolve(offered, names, version, "x")
        assert (found and found.name, checks) == (name, [])


def test_what_is_not_offered_is_refused_with_what_is() -> None:
    offered = versions.parse_madison(MADISON)
    found, (check,) = versions.resolve(offered, ["nvidia-open"], "570", "nvidia_driver_version")
    assert found is None
    assert check["code"] == "package-version" and check["where"] == "nvidia_driver_version"
    assert check["message"] == (
        "no nvidia-open of version 570; the repositories have "
        "nvidia-open 590.44.01-1, nvidia-open 580.105.08-1, nvidia-open 580.95.05-1"
    )
    assert "nvidia_driver_version" in check["remedy"] and "590" in check["remedy"]
    found, (check,) = versions.resolve(offered, ["cuda-drivers-580"], "580", "nvidia_driver_version")
    assert (found, check["code"]) == (None, "package-unknown")


def test_a_branch_is_no_glob() -> None:
    """NVIDIA forum 353805, aws-parallelcluster-cookbook 1063: 580* and bare names led to 590."""
    offered = versions.parse_madison("d | 5800.1-1 | x Packages\nd | 590.1-1 | x Packages\n")
    assert versions.resolve(offered, ["d"], "580", "x")[0] is None


# upstream versions begin with a digit (Debian Policy 5.6.12)
VERSIONS = st.from_regex(r"[0-9](:[0-9])?[0-9a-z.+~]{0,8}(-[0-9][a-z0-9.+~]{0,4})?", fullmatch=True)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="compares with dpkg")
@example("0", "0-0")
@example("0", "0-1")
@example("1.0-00", "1.0")
@example("1~-0", "1~")
@given(VERSIONS, VERSIONS)
def test_the_order_is_that_of_dpkg(one: str, other: str) -> None:
    for word, holds in (
        ("lt", versions.debian_key(one) < versions.debian_key(other)),
        ("eq", versions.debian_key(one) == versions.debian_key(other)),
    ):
        done = subprocess.run(["dpkg", "--compare-versions", one, word, other], check=False)
        assert holds == (done.returncode == 0)


def apt(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """apt of this machine, with all of its folders below ``root``: it sees one source and changes nothing here."""
    for folder in (
        "lists/partial",
        "cache/archives/partial",
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/trusted.gpg.d",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    config = root / "apt.conf"
    config.write_text(
        f'Dir "{root}";\nDir::Etc "{root}/etc";\nDir::Etc::sourcelist "{root}/one.list";\nDir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{root}/lists";\nDir::State::status "{root}/status";\nDir::Cache "{root}/cache";\n'
        'APT::Sandbox::User "root";\nAPT::Architecture "amd64";\nAPT::Architectures { "amd64"; };\n'
    )
    env = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
    return subprocess.run(command, env=env, check=False, capture_output=True, text=True)


@pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb", "gpg")), reason="builds Debian packages"
)
@pytest.mark.parametrize("suite", ["", "trixie"], ids=["flat", "with a suite"])
def test_the_stand_in_repository_is_one_to_apt(tmp_path: Path, suite: str) -> None:
    debs = [Deb("tool", "1.18.0-1", files={"/usr/bin/tool": "#!/bin/sh\n"}), Deb("tool", "2:1.2-1", depends="other")]
    with SigningKey() as key, SigningKey() as other_key:
        folder = publish(tmp_path / "repository", debs, key, suite=suite, component="stable")
        public = tmp_path / "key.asc"
        public.write_text(key.public())
        where = f"{suite} stable" if suite else "/"
        (tmp_path / "one.list").write_text(f"deb [signed-by={public}] file://{folder} {where}\n")
        done = apt(tmp_path, "apt-get", "update")
        assert done.returncode == 0 and "W:" not in done.stderr, done.stderr
        offered = versions.parse_madison(apt(tmp_path, "apt-cache", "madison", "tool").stdout)
        assert [one.version for one in offered] == ["2:1.2-1", "1.18.0-1"]

        sign(folder / "dists" / suite if suite else folder, other_key, suite=suite, component="stable")
        with serve(folder) as url:
            (tmp_path / "one.list").write_text(f"deb [signed-by={public}] {url} {where}\n")
            done = apt(tmp_path, "apt-get", "update", "-o", "APT::Update::Error-Mode=any")
        assert done.returncode != 0
        assert "NO_PUBKEY" in done.stderr or "Missing key" in done.stderr
