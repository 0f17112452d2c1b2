# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where docker's data can go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import data_root
from ansible_collections.fullrank.serving.plugins.module_utils.docker.data_root import Move, Place

GIB = 1 << 30
MOVE = Move("docker", "/var/lib/docker", "/data/docker", "docker_data_root", 10 * GIB, 1000)
ROOM = Place("ext4", 1, 100 * GIB, 100000)
MOUNTS = "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /data ext4 rw 0 0\n"


def codes(move: Move = MOVE, place: Place = ROOM, mounts: str = MOUNTS) -> list[str]:
    return [one["code"] for one in data_root.check([move], {move.target: place}, mounts)]


def test_a_good_place_is_taken() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    ("move", "place", "mounts", "expected"),
    [
        (replace(MOVE, target="/var/lib/docker/new"), ROOM, MOUNTS, ["root-nested"]),
        (replace(MOVE, target="/var/lib"), ROOM, MOUNTS, ["root-nested"]),
        (MOVE, replace(ROOM, file_system="nfs4"), MOUNTS, ["root-file-system"]),
        (MOVE, replace(ROOM, file_system="fuse.sshfs"), MOUNTS, ["root-file-system"]),
        (MOVE, replace(ROOM, entries=("mine",)), MOUNTS, ["root-not-empty"]),
        (MOVE, replace(ROOM, free_bytes=10 * GIB), MOUNTS, ["root-space"]),
        (MOVE, replace(ROOM, free_inodes=999), MOUNTS, ["root-inodes"]),
        (MOVE, replace(ROOM, free_inodes=None), MOUNTS, []),
        (MOVE, ROOM, MOUNTS + "/dev/sdc /var/lib/docker/volumes xfs rw 0 0\n", ["root-mount"]),
        (MOVE, ROOM, MOUNTS + "overlay /var/lib/docker/overlay2/ab12/merged overlay rw 0 0\n", []),
        (MOVE, replace(ROOM, file_system="overlay", entries=("x",)), MOUNTS, ["root-file-system", "root-not-empty"]),
    ],
)
def test_each_obstacle_is_found(move: Move, place: Place, mounts: str, expected: list[str]) -> None:
    assert codes(move, place, mounts) == expected


def test_two_moves_to_one_disk_need_room_for_both() -> None:
    other = Move("containerd", "/var/lib/containerd", "/data/containerd", "docker_containerd_root", 90 * GIB, 1)
    places = {MOVE.target: ROOM, other.target: ROOM}
    [problem] = data_root.check([MOVE, other], places, MOUNTS)
    assert "/data/docker and /data/containerd" in problem["message"] and "100 GiB are free" in problem["message"]
    assert data_root.check([MOVE, other], {**places, other.target: replace(ROOM, device=2)}, MOUNTS) == []


def test_what_still_holds_layers_is_found() -> None:
    layers = "lowerdir=/var/lib/containerd/s/1/fs,upperdir=/var/lib/containerd/s/2/fs"
    task = f"overlay /run/containerd/x/rootfs overlay rw,{layers} 0 0\n"
    assert data_root.in_use(task, "/var/lib/containerd") == ["/run/containerd/x/rootfs"]
    assert data_root.in_use(task, "/var/lib/docker") == []


# /etc/containerd/config.toml of containerd 1.7.24~ds1-6+deb13u1 (Debian 13), and the head of that of containerd.io
DEBIAN = 'version = 2\n\n[plugins]\n  [plugins."io.containerd.internal.v1.opt"]\n    path = "/var/lib/containerd/opt"\n'
VENDOR = 'disabled_plugins = ["cri"]\n\n#root = "/var/lib/containerd"\n#state = "/run/containerd"\n\n#[grpc]\n'


@pytest.mark.parametrize(
    "text", [DEBIAN, VENDOR, "", 'root = "/old" # mine\nversion = 2\n', "root='/old'\n[a]\n  root = \"/b\"\n"]
)
def test_containerds_root_is_one_line(text: str) -> None:
    after = data_root.with_containerd_root(text, "/data/containerd")
    assert data_root.containerd_root(after) == "/data/containerd"
    assert data_root.with_containerd_root(after, "/data/containerd") == after
    other_lines = [line for line in text.splitlines() if not line.startswith("root")]
    assert [line for line in after.splitlines() if not line.startswith("root")] == other_lines or not text


# `docker info` of docker 29, DriverStatus (docs.docker.com/engine/storage/containerd), and of docker.io 26.1.5
def test_the_image_store_of_containerd_is_recognized() -> None:
    assert data_root.keeps_images_in_containerd({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})
    assert not data_root.keeps_images_in_containerd({"DriverStatus": [["Backing Filesystem", "extfs"]]})
    assert not data_root.keeps_images_in_containerd({"DriverStatus": None})


def test_a_copy_is_compared_entry_by_entry() -> None:
    source = {"a": (1,), "b": (2,)}
    assert data_root.differences(source, dict(source)) == []
    assert data_root.differences(source, {"a": (1,), "c": (3,)}) == ["b", "c"]
