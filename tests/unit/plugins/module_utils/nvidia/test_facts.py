# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is to the driver's plan."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import facts
from nvidia_nodes import plan
from places import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "tests/standins"))
import nvidia_vendor


@pytest.mark.parametrize(
    ("board", "fabric", "count"),
    [
        ("a100", "nvswitch", 8),
        ("h100", "nvswitch", 8),
        ("h200", "nvswitch", 8),
        ("h20", "nvswitch", 8),
        ("l40s", "none", 8),
        ("b200", "nvlink5", 8),
        ("gb200", "nvl72", 4),
        ("none", "none", 0),
    ],
)
def test_the_hardware_of_a_node(tmp_path: Path, board: str, fabric: str, count: int) -> None:
    nvidia_vendor.write_hardware(tmp_path, board)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
    recorded.command(tmp_path, "uname -m", "x86_64\n")
    found = facts.collect(Host(str(tmp_path)), Host(str(tmp_path)))
    made = plan(found)
    assert (made["fabric"], len(made["gpus"])) == (fabric, count)
    assert made["installed_source"] == "none"


def test_the_driver_of_a_node(tmp_path: Path) -> None:
    patterns = " ".join(facts._PACKAGES)
    text = "ii |nvidia-open-580|580.95.05-1\nhi |nvidia-fabricmanager|580.95.05-1\nrc |nvidia-dkms-570|570.1-1\n"
    recorded.command(
        tmp_path, f"dpkg-query -W -f=${{db:Status-Abbrev}}|${{Package}}|${{Version}}\\n {patterns}", text, rc=1
    )
    found = facts.installed_packages(Host(str(tmp_path)), "debian")
    assert found == {"nvidia-open-580": "580.95.05-1", "nvidia-fabricmanager": "580.95.05-1"}
    key = tmp_path / "etc/apt/trusted.gpg.d/cuda.gpg"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"\x99..\x10" + facts.OLD_KEY + b"..")
    assert facts.old_keys(Host(str(tmp_path))) == ["/etc/apt/trusted.gpg.d/cuda.gpg"]
    assert facts.runfile_version(Host(str(tmp_path))) is None
    recorded.write(tmp_path, "usr/bin/nvidia-uninstall", "")
    recorded.write(tmp_path, "usr/lib64/libnvidia-ml.so.535.230.02", "")
    assert facts.runfile_version(Host(str(tmp_path))) == "535.230.02"
    recorded.write(tmp_path, "usr/sbin/update-initramfs", "")
    assert facts.initramfs_command(Host(str(tmp_path))) == ["update-initramfs", "-u"]


def test_the_services_of_a_node(tmp_path: Path) -> None:
    units = " ".join(f"{name}.service" for name in facts.SERVICES)
    text = (
        "Id=nvidia-persistenced.service\nLoadState=loaded\nActiveState=active\nUnitFileState=static\n\n"
        "Id=nvidia-fabricmanager.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n\n"
        "Id=nvidia-imex.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
    )
    recorded.command(tmp_path, f"systemctl show --property=Id,LoadState,UnitFileState,ActiveState {units}", text)
    assert facts.services(Host(str(tmp_path))) == {
        "nvidia-persistenced": {"enabled": True, "active": True},
        "nvidia-fabricmanager": {"enabled": False, "active": False},
    }


LIST = "deb [arch=amd64 signed-by=/k.gpg] http://m/debian trixie main contrib # mine\n# deb http://m/debian x main\n"
DEB822 = (
    "# ours\nTypes: deb deb-src\nURIs: http://m/debian\nSuites: trixie\nComponents: main contrib\nSigned-By: /k.gpg\n"
)
DISABLED = "Types: deb\nEnabled: no\nURIs: http://m/debian\nSuites: x\nComponents: main\n\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("debian.list", LIST),
        ("with-source.list", "deb-src http://m/debian trixie main\n" + LIST),
        ("debian.sources", DEB822),
        ("two.sources", DISABLED + DEB822.replace("URIs:", "URIs: http://o/x\n")),
    ],
)
def test_debians_archive_in_sources_that_were_never_read(tmp_path: Path, name: str, text: str) -> None:
    """A bare node has no lists, and apt of Debian 12 does not tell the key of a source."""
    recorded.write(tmp_path, f"etc/apt/sources.list.d/{name}", text)
    rows = facts.debian_archive(facts.apt_sources(Host(str(tmp_path))))
    assert rows == [
        {"uri": "http://m/debian", "suite": "trixie", "component": component, "signed_by": "/k.gpg"}
        for component in ("main", "contrib")
    ]


@pytest.mark.parametrize("uri", ["http://s/debian-security/", "mirror+file:///etc/apt/mirrors/debian-security.list"])
def test_debians_security_archive(tmp_path: Path, uri: str) -> None:
    recorded.write(tmp_path, "etc/apt/sources.list.d/security.list", f"deb {uri} trixie-security main\n")
    (row,) = facts.debian_archive(facts.apt_sources(Host(str(tmp_path))))
    assert (row["uri"], row["suite"], row["component"]) == (uri, "trixie-security", "main")
