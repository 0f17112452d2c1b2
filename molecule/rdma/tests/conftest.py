# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded hardware for the node, and stand-ins of NVIDIA's repositories."""

from __future__ import annotations

import base64
import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests/unit"), str(CHECKOUT / "tests/standins")]
import recorded
from apt_repository import Deb, SigningKey, publish, serve
from helpers import NET

KERNEL = "6.8.0-60-generic"
ROOT = "/opt/recorded"
MODULES = ("mlx5_core", "mlx5_ib", "ib_uverbs", "rdma_ucm", "ib_umad", "ib_core")
OPEN_DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16)  Thu Jan 9\n"
)

OFED_INFO = "#!/bin/sh\necho {name}-{version}:\n"
OPENIBD = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
# the order of MLNX_OFED's own script: packages away, itself included
UNINSTALL = """#!/bin/sh
set -e
[ "$1" = --force ]
apt-get --yes purge mlnx-ofed-all
echo removed >> /var/log/standin-ofed-uninstall
"""


def ofed(package: str, version: str, name: str, **files: str) -> Deb:
    return Deb(
        package,
        version,
        files={
            "/usr/bin/ofed_info": OFED_INFO.format(name=name, version=version),
            "/usr/lib/systemd/system/openibd.service": OPENIBD,
            **files,
        },
        scripts={"postinst": "systemctl daemon-reload; systemctl start openibd", "prerm": "systemctl stop openibd"},
    )


MLNX = ofed("mlnx-ofed-all", "24.10-1.1.4.0", "MLNX_OFED_LINUX", **{"/usr/sbin/ofed_uninstall.sh": UNINSTALL})
DOCA = ofed("doca-ofed", "3.2.1-044000", "OFED-internal")
NEXT = ofed("doca-ofed", "3.2.2-025000", "OFED-internal")


def plant(node: Host, folder: Path, *, changes: dict[str, str | None] | None = None) -> None:
    """Lay the recorded RoCE node out below ROOT, with a kernel, its modules and an open NVIDIA driver beside it. ``changes``:
    path → content, or None for one that shall not be there."""
    recorded.unpack("a100-roce", folder)
    files: dict[str, str | None] = {
        "proc/sys/kernel/osrelease": KERNEL,
        f"lib/modules/{KERNEL}/modules.dep": "",
        f"lib/modules/{KERNEL}/build/Makefile": "",
        "proc/driver/nvidia/version": OPEN_DRIVER,
        f"commands/modinfo -k {KERNEL} -F filename mlx5_core": f"/lib/modules/{KERNEL}/updates/dkms/mlx5_core.ko\n",
        f"commands/modinfo -k {KERNEL} -F srcversion mlx5_core": "AAAA\n",
        **{f"sys/module/{name}/srcversion": "AAAA" for name in MODULES},
        **(changes or {}),
    }
    for path, content in files.items():
        if content is not None:
            recorded.write(folder, path, content)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    packed = base64.b64encode(buffer.getvalue()).decode()
    node.check_output(f"rm -rf {ROOT} && mkdir -p {ROOT}")
    for start in range(0, len(packed), 60000):
        node.check_output(f"echo -n '{packed[start : start + 60000]}' >> {ROOT}.b64")
    node.check_output(f"base64 -d {ROOT}.b64 | tar xz -C {ROOT} && rm {ROOT}.b64")


@pytest.fixture
def hardware(nodes: dict[str, Host], tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Plant it, and give the variables for it."""

    def with_changes(**changes: str | None) -> dict[str, str]:
        plant(nodes["n1"], tmp_path / "tree", changes=dict(changes))
        return {"rdma_hardware_root": ROOT}

    return with_changes


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Source → address of its stand-in repository; and the key."""
    folder = tmp_path_factory.mktemp("vendor")
    with SigningKey() as key:
        for source, deb in (("mlnx_ofed", MLNX), ("doca", DOCA), ("next", NEXT)):
            publish(folder / source, [deb, Deb("perftest", "99-1")], key)
        (folder / "key.asc").write_text(key.public())
        with serve(folder, address=f"{NET}.1") as url:
            yield {
                "mlnx_ofed": f"{url}/mlnx_ofed/",
                "doca": f"{url}/doca/",
                "next": f"{url}/next/",
                "key": f"{url}/key.asc",
                "fingerprint": key.fingerprint(),
            }
