#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in of NVIDIA's repository of the container toolkit, and of a driver that answers in containers.

    nvidia_toolkit.py FOLDER

writes FOLDER/toolkit/stable/deb/amd64, FOLDER/foreign (signed by another key), FOLDER/fingerprint of the key, and
FOLDER/machine, whose files belong on a node as they lie. nvidia-ctk writes a CDI specification that brings the stand-in of
nvidia-smi into a container: docker, its CDI devices and the container are real.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from apt_repository import Deb, SigningKey, publish
from nvidia_vendor import HARDWARE, LOADED, smi, write_hardware

NAMES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
# as NVIDIA/nvidia-container-toolkit, deployments/systemd, without its condition on nvidia.ko, which no test node has
REFRESH = {
    "nvidia-cdi-refresh.service": (
        "[Unit]\nDescription=stand-in: CDI specification\nConditionPathExists=/usr/bin/nvidia-smi\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=/usr/bin/nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    "nvidia-cdi-refresh.path": (
        "[Unit]\nDescription=stand-in: driver changes\n[Path]\nPathChanged=/lib/modules/%v/modules.dep\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
}


def ctk(version: str) -> str:
    return f"""#!/bin/sh
# stand-in
set -e
[ "$1" = --version ] && {{ echo "NVIDIA Container Toolkit CLI version {version}"; exit 0; }}
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
out=${{3#--output=}}
mkdir -p "$(dirname "$out")"
cat > "$out" <<END
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
  - name: all
    containerEdits:
      deviceNodes: [{{path: /dev/nvidia0, hostPath: /dev/null}}]
containerEdits:
  env: [STANDIN_DRIVER=libcuda.so.$driver]
  mounts:
    - {{hostPath: /usr/bin/nvidia-smi, containerPath: /usr/bin/nvidia-smi, options: [ro, nosuid, nodev, bind]}}
    - {{hostPath: {HARDWARE}, containerPath: {HARDWARE}, options: [ro, nosuid, nodev, bind]}}
END
"""


def toolkit(version: str, names: tuple[str, ...] = NAMES) -> list[Deb]:
    """The four packages, which ask for each other by "at least"; with units from 1.18 on."""
    files = {"/usr/bin/nvidia-ctk": ctk(version)}
    if version >= "1.18":
        files |= {f"/usr/lib/systemd/system/{name}": text for name, text in REFRESH.items()}
    return [
        Deb(
            name,
            f"{version}-1",
            files=files if name.endswith("base") else {},
            depends=", ".join(f"{other} (>= {version})" for other in NAMES[1:]) if name == NAMES[0] else "",
        )
        for name in names
    ]


def write_all(folder: Path) -> None:
    debs = [deb for version in ("1.17.8", "1.18.0", "1.18.1", "1.19.0") for deb in toolkit(version)]
    # a mirror that has not got all of the newest yet
    debs += toolkit("1.20.0", NAMES[:3])
    with SigningKey() as key, SigningKey() as foreign:
        for name, signer in (("toolkit", key), ("foreign", foreign)):
            publish(folder / name / "stable/deb/amd64", debs, signer)
            (folder / name / "gpgkey").write_text(key.public())
        (folder / "fingerprint").write_text(key.fingerprint())
    for driver in ("580.95.05", "580.105.08"):
        machine = folder / "machine" / driver
        write_hardware(machine / HARDWARE.lstrip("/"), "h100")
        tool = machine / "usr/bin/nvidia-smi"
        tool.parent.mkdir(parents=True)
        tool.write_text(smi(driver))
        tool.chmod(0o755)
        loaded = machine / HARDWARE.lstrip("/") / "proc/driver/nvidia/version"
        loaded.parent.mkdir(parents=True)
        loaded.write_text(LOADED.format(version=driver).replace("\\n", "\n"))


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
