# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths are the system's: no folder for weights, and no mount for a container."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.node import system_paths

SYSTEM = (
    "/ /. // /bin /boot /dev/shm /etc /etc/fullrank /home /home/ann /home/ann/.ssh /lib /opt /proc /root /root/.ssh "
    "/run/fullrank /sbin /srv /mnt /tmp /sys /usr /usr/local /usr/local/bin/x /usr/share/models /var /var/lib "
    "/var/lib/docker/x /var/lib/dpkg/updates /var/lib/cloud /var/lib/fullrank /var/spool/cron /var/log/x /var/run/x "
    "/data/../etc /.hidden"
).split()
DATA = (
    "/data /data/models/r1 /lustre/x /mnt/nvme/m /srv/models /opt/models /home/ann/models /root/models /root/.cache/huggingface "
    "/var/lib/models/x /var/tmp/x /tmp/x /usr/local/models"
).split()


@pytest.mark.parametrize("path", SYSTEM)
def test_no_folder_of_the_system_is_given_away(path: str) -> None:
    assert system_paths.reserved(path).startswith("is ")


@pytest.mark.parametrize("path", DATA)
def test_folders_of_data(path: str) -> None:
    assert system_paths.reserved(path) == ""
    assert system_paths.for_data(path, read_only=False)


NOT_MOUNTED = [
    *(one for one in SYSTEM if one not in ("/srv", "/mnt", "/tmp")),
    *"/var/lib/cloud/instance /var/snap/lxd/common/lxd/unix.socket /root/.bashrc /var/lib/x /var/cache/apt /opt/nvidia".split(),
]


@pytest.mark.parametrize("path", NOT_MOUNTED)
def test_what_is_not_known_as_data_cannot_be_written_by_a_container(path: str) -> None:
    assert not system_paths.for_data(path, read_only=False)


def test_programs_can_be_read() -> None:
    assert system_paths.for_data("/usr/local/cuda", read_only=True)
    assert system_paths.for_data("/opt/fullrank-sglang", read_only=True)
    assert not system_paths.for_data("/etc/passwd", read_only=True)
