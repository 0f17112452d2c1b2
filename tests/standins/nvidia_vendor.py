#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins of NVIDIA's repository, of a .run file and of machines with GPUs, for scenarios on nodes that have none.

    nvidia_vendor.py FOLDER KERNEL

writes FOLDER/cuda/debian12|13/x86_64, the same with another key in FOLDER/foreign and with an update that fails in
FOLDER/broken, FOLDER/fingerprint of their key, FOLDER/run with .run files, and FOLDER/hardware/BOARD for a node's /srv/hardware.

Names, suffixes and versions are those of NVIDIA's repository (Driver Installation Guide, "Recent Updates"; gpu-driver-container
pull request 451). Dependencies ask for "at least", as there: apt alone would mix versions. A package's nvidia-smi answers as the
real one does: it refuses to work with a kernel module of another version. The module "loads" at boot: a unit writes
/srv/hardware/proc/driver/nvidia/version.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "unit")]
import recorded
from apt_repository import Deb, SigningKey, publish

BRANCH_580 = ("580.95.05", "580.105.08")
BROKEN = "580.119.02"
RUN_FILES = ("535.230.02", "535.247.01")
KEY_FILES = {"debian12": "3bf863cc.pub", "debian13": "8793F200.pub"}  # what NVIDIA calls them
HARDWARE = "/srv/hardware"
UNIT = """[Unit]
Description={what}
ConditionPathExists={hardware}
After={after}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command}
[Install]
WantedBy=multi-user.target
"""
BOOTED = {"hardware": HARDWARE, "after": ""}
LOADED_FIRST = {"hardware": HARDWARE, "after": "standin-nvidia.service"}
LOADED = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build\\n"


def smi(version: str) -> str:
    return f"""#!/bin/sh
# stand-in: NVIDIA's prints this when the library and the module differ
grep -q " {version} " {HARDWARE}/proc/driver/nvidia/version 2>/dev/null || {{
    echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18; }}
case "$*" in
    "-q -x") sed 's,<driver_version>[^<]*,<driver_version>{version},' {HARDWARE}/nvidia-smi.xml ;;
    "--query-gpu=driver_version --format=csv,noheader") grep -o "<uuid>" {HARDWARE}/nvidia-smi.xml | sed "s/.*/{version}/" ;;
    --persistence-mode=1) sed -i 's,<persistence_mode>[^<]*,<persistence_mode>Enabled,' {HARDWARE}/nvidia-smi.xml ;;
    -L)
        sed -n 's,.*<uuid>\\([^<]*\\)<.*,\\1,p' {HARDWARE}/nvidia-smi.xml |
            awk '{{ print "GPU " NR - 1 ": stand-in (UUID: " $1 ")" }}' ;;
    *) exit 6 ;;
esac
"""


def load(version: str) -> str:
    """The kernel loads the module: shell. A boot with the blacklist does so without nouveau."""
    folder = f"{HARDWARE}/proc/driver/nvidia"
    return f'mkdir -p {folder} && printf "{LOADED.format(version=version)}" > {folder}/version'


def load_command(version: str) -> str:
    blacklist, nouveau = "/etc/modprobe.d/fullrank-nouveau.conf", f"{HARDWARE}/sys/module/nouveau"
    return f"/bin/sh -c '{load(version)}; if [ -e {blacklist} ]; then rm -rf {nouveau}; fi'"


def utilities(version: str) -> dict[str, str]:
    """What libraries, tools and module of a driver bring."""
    loads = UNIT.format(what="stand-in: loads the kernel module", command=load_command(version), **BOOTED)
    persist = UNIT.format(what="stand-in: persistence daemon", command="/bin/true", **LOADED_FIRST)
    return {
        "/usr/bin/nvidia-smi": smi(version),
        "/usr/lib/systemd/system/standin-nvidia.service": loads,
        "/usr/lib/systemd/system/nvidia-persistenced.service": persist,
    }


def driver(version: str, suffix: str, broken: bool = False) -> list[Deb]:
    """The driver's packages: with the branch in their names, or without (from 590 on)."""
    full = f"{version}-1"
    enable = {"postinst": "systemctl enable -q standin-nvidia.service" + ("\nexit 1" if broken else "")}
    other = {"Conflicts": "nvidia-utils-any", "Provides": "nvidia-utils-any", "Replaces": "nvidia-utils-any"}
    at_least = f"(>= {version})"
    return [
        Deb(f"nvidia-open{suffix}", full, depends=f"nvidia-driver{suffix}-open {at_least}"),
        Deb(f"nvidia-driver{suffix}-open", full, depends=f"nvidia-utils{suffix} {at_least}"),
        Deb(f"nvidia-utils{suffix}", full, files=utilities(version), scripts=enable, fields=other),
    ]


def fabric(version: str, suffix: str = "") -> list[Deb]:
    manager = UNIT.format(
        what="stand-in: Fabric Manager", command=f'/bin/sh -c "nvidia-smi -q -x | grep -q {version}"', **LOADED_FIRST
    )
    # the real one does not start without its nodes
    nodes = "/etc/nvidia-imex/nodes_config.cfg"
    imex = UNIT.format(what="stand-in: IMEX", command=f"/usr/bin/test -s {nodes}", **LOADED_FIRST)
    return [
        Deb(
            f"nvidia-fabricmanager{suffix}",
            f"{version}-1",
            files={"/usr/lib/systemd/system/nvidia-fabricmanager.service": manager},
        ),
        Deb(
            f"nvidia-imex{suffix}",
            f"{version}-1",
            files={"/usr/lib/systemd/system/nvidia-imex.service": imex, nodes: "", "/DEBIAN/conffiles": f"{nodes}\n"},
        ),
        Deb(f"libnvsdm{suffix}", f"{version}-1"),
    ]


def pin(name: str, version: str) -> Deb:
    fields = {
        "Provides": "nvidia-driver-pinning",
        "Conflicts": "nvidia-driver-pinning",
        "Replaces": "nvidia-driver-pinning",
    }
    text = f"Package: nvidia-* libnvidia-* cuda-drivers*\nPin: version {version}*\nPin-Priority: 1000\n"
    return Deb(
        f"nvidia-driver-pinning-{name}",
        f"{version}-1",
        files={f"/etc/apt/preferences.d/nvidia-{name}": text},
        fields=fields,
    )


def packages(kernel: str, broken: bool = False) -> list[Deb]:
    """The repository: branches 570, 575, 580 and 590, an update of 580 waiting, a Fabric Manager of another version than the
    driver in 570; with ``broken`` a newer 580 that fails."""
    found = [*driver("570.86.15", "-570"), *fabric("570.124.06", "-570")]
    found += [*driver("575.57.08", "-575"), *fabric("575.57.08", "-575")]
    for version in BRANCH_580:
        found += [*driver(version, "-580"), *fabric(version), pin(version, version)]
    found += [*driver("590.44.01", ""), *fabric("590.44.01"), pin("580", "580."), pin("590", "590.")]
    found += [Deb("nvlsm", "2025.10.14-1"), Deb(f"linux-headers-{kernel}", "1")]
    return found + (driver(BROKEN, "-580", broken=True) + fabric(BROKEN) if broken else [])


def run_file(version: str) -> str:
    """A .run file: a shell archive, as NVIDIA's is. It refuses what that refuses (nvidia-installer: misc.c, kernel.c), loads
    the module at once, and leaves what that leaves: the persistence daemon, and no unit for it."""
    library = f"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{version}"
    unit = "/usr/lib/systemd/system/standin-nvidia.service"
    return f"""#!/bin/sh
set -e
if [ -e {HARDWARE}/sys/module/nouveau ]; then
    echo "ERROR: The Nouveau kernel driver is currently in use by your system." >&2; exit 1
fi
if systemctl -q is-active nvidia-persistenced nvidia-fabricmanager; then
    echo "ERROR: An NVIDIA kernel module 'nvidia' appears to already be loaded in your kernel." >&2; exit 1
fi
if ! [ -e /usr/include/stdlib.h ]; then
    echo "ERROR: You do not appear to have libc header files installed on your system." >&2; exit 1
fi
echo "$*" > /var/log/nvidia-installer.log
[ ! -e /usr/bin/nvidia-uninstall ] || /usr/bin/nvidia-uninstall
touch {library}
cat > /usr/bin/nvidia-smi <<'END'
{smi(version)}END
cat > /usr/bin/nvidia-uninstall <<'END'
#!/bin/sh
systemctl disable -q standin-nvidia.service
rm -f /usr/bin/nvidia-smi /usr/bin/nvidia-persistenced {library} {unit} {HARDWARE}/proc/driver/nvidia/version \
    /usr/bin/nvidia-uninstall
END
printf '#!/bin/sh\nsleep infinity &\n' > /usr/bin/nvidia-persistenced
cat > {unit} <<'END'
{UNIT.format(what="stand-in: loads the kernel module", command=load_command(version), **BOOTED)}END
chmod 755 /usr/bin/nvidia-smi /usr/bin/nvidia-uninstall /usr/bin/nvidia-persistenced
systemctl enable -q standin-nvidia.service
{load(version)}
"""


def write_all(folder: Path, kernel: str) -> None:
    """Both releases, a copy of the first signed by an unknown key, one with a broken update, and .run files."""
    with SigningKey() as key, SigningKey() as foreign:
        for name, signer, broken in (("cuda", key, False), ("foreign", foreign, False), ("broken", key, True)):
            for release, key_file in KEY_FILES.items():
                repository = publish(folder / name / release / "x86_64", packages(kernel, broken), signer)
                (repository / key_file).write_text(signer.public())
        (folder / "fingerprint").write_text(key.fingerprint())
    for version in RUN_FILES:
        run = folder / f"run/{version}/NVIDIA-Linux-x86_64-{version}.run"
        run.parent.mkdir(parents=True, exist_ok=True)
        run.write_text(run_file(version))
        run.with_suffix(".sha256").write_text(hashlib.sha256(run.read_bytes()).hexdigest())
    for board in BOARDS:
        write_hardware(folder / "hardware" / board, board)
    write_hardware(folder / "hardware/b200-waiting", "b200", "In Progress")


# board → its PCI device id; NVSwitches on the bus (A100 to H200), or bridges with SW_MNG (B200)
BOARDS = {
    "a100": "20b2",
    "h100": "2330",
    "h200": "2335",
    "h20": "2329",
    "l40s": "26b9",
    "b200": "2901",
    "gb200": "2941",
    "none": "",
}
WITH_SWITCHES = ("a100", "h100", "h200", "h20")


def write_hardware(folder: Path, board: str, fabric_state: str = "") -> None:
    """What a machine with eight GPUs of a board shows in sysfs, and the output of its nvidia-smi (tests/unit/data/nvidia_smi)."""

    def add(address: str, vendor: str, device: str, kind: str, **more: str) -> None:
        device_folder = folder / "sys/bus/pci/devices" / address
        device_folder.mkdir(parents=True, exist_ok=True)
        for name, value in {"vendor": vendor, "device": f"0x{device}", "class": kind, **more}.items():
            (device_folder / name).write_text(value + "\n")

    gpus = [f"0000:{0x10 + index:02x}:00.0" for index in range({"none": 0, "gb200": 4}.get(board, 8))]
    for address in gpus:
        add(address, "0x10de", BOARDS[board], "0x030200")
    for index in range(4 if board in WITH_SWITCHES else 0):
        add(f"0000:{0x80 + index:02x}:00.0", "0x10de", "22a3", "0x068000")
    for index in range(2 if board == "b200" else 0):
        add(f"0000:{0x90 + index:02x}:00.0", "0x15b3", "1021", "0x020700", vpd="ConnectX-7 SW_MNG")
    folder.mkdir(parents=True, exist_ok=True)
    if gpus:
        known = fabric_state or ("N/A" if board in ("a100", "l40s") else "Completed")
        status = "N/A" if known in ("N/A", "In Progress") else "Success"
        text = recorded.nvidia_smi_xml(board, gpus, fabric=known, status=status)
        # as after a boot; nvidia-smi turns it on
        (folder / "nvidia-smi.xml").write_text(text.replace("<persistence_mode>Enabled", "<persistence_mode>Disabled"))


if __name__ == "__main__":
    write_all(Path(sys.argv[1]), sys.argv[2])
