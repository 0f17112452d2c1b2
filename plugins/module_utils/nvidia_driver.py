"""Facts of a node and what is wanted of it → which packages, files and services make its driver, and what forbids it.

Functions from values to values. Package names are alternatives, because they change with the branch and the
distribution; which of them exists, and in which version, is what the repository of the node says (``packages``):

- branch suffixes ended: nvidia-fabricmanager, nvidia-imex and libnvsdm have none from 580 on (gpu-driver-container pull
  request 451), nvidia-open and cuda-drivers none from 590 on (Driver Installation Guide, "Recent Updates");
- Ubuntu's own archive keeps them in every branch (packages.ubuntu.com: nvidia-imex-595).

PRIVATE to this collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils import nvidia_boards
from ansible_collections.fullrank.serving.plugins.module_utils.checks import Check, failed, version, warned
from ansible_collections.fullrank.serving.plugins.module_utils.packages import Candidate

VERSION = "nvidia_driver_version"
MODULES = "nvidia_driver_kernel_modules"
# Installed packages that have the driver's version. The container toolkit, CUDA's toolkit and pins have their own.
FAMILY = (
    r"^(?!.*container|.*pinning|.*toolkit)"
    r"(nvidia-|libnvidia-|kmod-nvidia|cuda-drivers|libcuda1$|libnvcuvid1$|libxnvctrl|libnvsdm|xserver-xorg-video-nvidia)"
)
# what remove.yml removes: the family, and what has versions of its own
REMOVAL = rf"{FAMILY}|^(nvidia-driver-pinning|nvlsm$|cuda-keyring$|linux-modules-nvidia-)"
_VENDOR_META = ("nvidia-open", "cuda-drivers")
KEYRING = "/usr/share/keyrings/fullrank-nvidia-cuda.asc"
KEYRING_EL = "/etc/pki/rpm-gpg/RPM-GPG-KEY-fullrank-nvidia-cuda"
SOURCE = "/etc/apt/sources.list.d/fullrank-nvidia-cuda.sources"
SOURCE_EL = "/etc/yum.repos.d/fullrank-nvidia-cuda.repo"
ARCHIVE_SOURCE = "/etc/apt/sources.list.d/fullrank-non-free.sources"
UNATTENDED = "/etc/apt/apt.conf.d/52fullrank-nvidia-driver"
NOUVEAU = "/etc/modprobe.d/fullrank-nouveau.conf"
NVLINK_MODULES = "/etc/modules-load.d/fullrank-nvlink.conf"
OWN_FILES = (SOURCE, SOURCE_EL, ARCHIVE_SOURCE, UNATTENDED, NOUVEAU, NVLINK_MODULES)
_DEBIAN_COMPONENTS = ("contrib", "non-free", "non-free-firmware")  # the open modules need firmware-nvidia-gsp
_DKMS_OF_EL = "3.1.8"  # older ones of EPEL 9 fail with the driver (stackhpc/ansible-slurm-appliance issue 703)


@dataclass(frozen=True)
class Wanted:
    """The role's variables. way: repository, distribution or runfile. version: exact, or a branch. modules: auto, open or
    proprietary."""

    way: str
    version: str
    modules: str = "auto"
    key_enrolled: bool = False
    kernel_headers: tuple[str, ...] = ()
    repositories: str = ""
    not_unattended: tuple[str, ...] = ()

    @property
    def branch(self) -> str:
        return self.version.partition(".")[0]


def entry(names: list[str], wanted: str, where: str = VERSION, **more: Any) -> dict[str, Any]:
    """One package for ``fullrank.serving.held_packages``."""
    return {"names": names, "version": wanted, "where": where, **more}


def either(name: str, branch: str, suffix_first: bool = False) -> list[str]:
    """The two names of a package over the branches."""
    names = [name, f"{name}-{branch}"]
    return names[::-1] if suffix_first else names


def repository_url(facts: dict[str, Any], wanted: Wanted) -> str:
    """The vendor's repository of this distribution and machine, below ``wanted.repositories``."""
    os = facts["os"]
    name = os["id"] if os["id"] in ("ubuntu", "debian") else "rhel"
    number = os["version"].replace(".", "") if name == "ubuntu" else os["version"].partition(".")[0]
    machine = "sbsa" if facts["architecture"] == "aarch64" else facts["architecture"]
    return f"{wanted.repositories.rstrip('/')}/{name}{number}/{machine}"


def installed_way(facts: dict[str, Any]) -> str:
    """How the driver that is there was installed: none, repository, distribution, runfile or mixed."""
    # both archives call it nvidia-driver; the vendor's metapackages are in no distribution
    named = [name for name in facts["packages"] if name.startswith((*_VENDOR_META, "nvidia-driver", "nvidia-headless"))]
    named = [name for name in named if "pinning" not in name]
    vendor = any(name.startswith(_VENDOR_META) and "kernel" not in name for name in named)
    by_packages = ("repository" if vendor else "distribution") if named else "none"
    if facts["runfile_version"] is None:
        return by_packages
    return "runfile" if by_packages == "none" else "mixed"


def installed_version(facts: dict[str, Any]) -> str | None:
    """The version of the driver that is installed, whatever the kernel has loaded."""
    if facts["runfile_version"]:
        return str(facts["runfile_version"])
    for prefix in (*_VENDOR_META, "nvidia-driver", "nvidia-headless"):
        for name, full in sorted(facts["packages"].items()):
            if name.startswith(prefix) and not any(word in name for word in ("pinning", "kernel", "libs", "bin")):
                return Candidate(name, full, "").upstream.partition("-")[0]
    return None


def reboot_reasons(facts: dict[str, Any]) -> list[str]:
    """Why the installed driver is not the one that works, until the node boots."""
    installed, loaded = installed_version(facts), facts["loaded"]["version"]
    if installed is None or not facts["gpus"] or installed == loaded:
        return []
    if facts["nouveau_loaded"]:
        return [f"nouveau drives the GPUs, and driver {installed} is installed"]
    if loaded:
        return [f"the kernel has driver {loaded} loaded, and {installed} is installed"]
    return [f"driver {installed} is installed, and not loaded"]


def plan(facts: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The plan for a node; its keys are documented as those of ``fullrank.serving.nvidia_driver_plan``."""
    gpus = sorted(facts["gpus"].values())
    fabric = nvidia_boards.fabric(gpus, facts["nvswitches"], len(facts["subnet_managers"]))
    kind, _ = nvidia_boards.kernel_modules(gpus, wanted.modules)
    url = repository_url(facts, wanted) if needs_repository(wanted, fabric) else ""
    services = ["nvidia-persistenced", *FABRIC_SERVICES[fabric]]
    there = facts["services"]
    return {
        "skip": "" if gpus else "there is no NVIDIA GPU on the PCI bus",
        "gpus": [nvidia_boards.product(gpu) for gpu in gpus],
        "kernel_modules": kind,
        "fabric": fabric,
        "installed_way": installed_way(facts),
        "installed_version": installed_version(facts),
        "loaded_version": facts["loaded"]["version"],
        "reboot_reasons": reboot_reasons(facts),
        "packages": package_entries(facts, wanted, kind, fabric),
        "family": FAMILY,
        "removal": REMOVAL,
        "own_files": [
            *({"path": path, "state": "absent"} for path in OWN_FILES),
            *({"path": path, "state": "absent", "ours": True} for path in (KEYRING, KEYRING_EL)),
        ],
        "module_stream": f"{wanted.branch}-{'open' if kind == 'open' else 'dkms'}" if _is_el(facts) else "",
        "files": files(facts, wanted, fabric, url),
        "keyring": (KEYRING_EL if _is_el(facts) else KEYRING) if url else "",
        "repository_url": url,
        "sources": [SOURCE] if url and not _is_el(facts) else [],
        "initramfs": facts["initramfs"],
        "services": services,
        "services_to_enable": [name for name in services if not there.get(name, {}).get("enabled")],
        "services_to_start": [name for name in services if not there.get(name, {}).get("active")],
        "runfile_arguments": runfile_arguments(wanted, kind),
        "findings": findings(facts, wanted, gpus, fabric) if gpus else [],
    }


FABRIC_SERVICES: dict[str, list[str]] = {
    "none": [],
    "nvswitch": ["nvidia-fabricmanager"],
    "nvlink5": ["nvidia-fabricmanager"],  # starts nvlsm itself
    "nvl72": ["nvidia-imex"],
}
FABRIC_MODULES = {"nvlink5": ["ib_umad", "mlx5_ib"]}


def _is_el(facts: dict[str, Any]) -> bool:
    return bool(facts["os"]["family"] == "redhat")


def package_entries(facts: dict[str, Any], wanted: Wanted, kind: str, fabric: str) -> list[dict[str, Any]]:
    """What is installed, in the order in which ``held_packages`` resolves it; the first of version ``VERSION`` leads."""
    if wanted.way == "runfile":
        driver: list[dict[str, Any]] = []
        rest = fabric_entries(facts, wanted, fabric, wanted.version)
        tools = [entry([name], "", hold=False) for name in ("gcc", "make", "dkms")]
    else:
        driver = driver_entries(facts, wanted, kind)
        rest = fabric_entries(facts, wanted, fabric, "same")
        tools = []
    if _is_el(facts):
        plugin = entry(["python3-dnf-plugin-versionlock"], "", hold=False, first=True)
        tools = [plugin, *(one for one in tools if one["names"] != ["dkms"])]
        tools.append(entry(["dkms"], "", hold=False, at_least=_DKMS_OF_EL))
    return [*header_entries(facts, wanted), *tools, *driver, *rest]


def header_entries(facts: dict[str, Any], wanted: Wanted) -> list[dict[str, Any]]:
    """Headers of the running kernel, where a module is built and they are not there yet."""
    if wanted.kernel_headers:
        return [entry([name], "", where="nvidia_driver_kernel_headers", hold=False) for name in wanted.kernel_headers]
    if facts["headers"] or (wanted.way == "distribution" and facts["os"]["id"] == "ubuntu"):
        return []
    name = ("kernel-devel-" if _is_el(facts) else "linux-headers-") + facts["kernel"]
    remedy = f"the archive no longer has {name}: install its newest kernel, boot it, and run this again"
    return [entry([name], "", where="/proc/sys/kernel/osrelease", remedy=remedy, hold=False)]


def driver_entries(facts: dict[str, Any], wanted: Wanted, kind: str) -> list[dict[str, Any]]:
    branch, distribution = wanted.branch, facts["os"]["id"]
    open_ = kind == nvidia_boards.OPEN
    if wanted.way == "repository":
        driver = entry(either("nvidia-open" if open_ else "cuda-drivers", branch, suffix_first=True), wanted.version)
        # in the driver's own packages up to 580, beside them since
        persistence = entry(["nvidia-persistenced"], "same", optional=True)
        if _is_el(facts):
            return [driver, persistence]
        pin = [f"nvidia-driver-pinning-{wanted.version}", f"nvidia-driver-pinning-{branch}"]
        # repositories of before October 2025 have no pins, and driver packages that name their branch
        return [entry(list(dict.fromkeys(pin)), "", hold=False, first=True, optional=True), driver, persistence]
    if distribution == "ubuntu":
        suffix = f"{branch}-server-open" if open_ else f"{branch}-server"
        flavour = facts["kernel"].rpartition("-")[2]
        modules = [f"linux-modules-nvidia-{suffix}-{facts['kernel']}"]
        remedy = f"boot the newest kernel of linux-image-{flavour}, for which Ubuntu builds signed modules"
        return [
            entry([f"nvidia-headless-no-dkms-{suffix}"], wanted.version),
            entry([f"nvidia-utils-{branch}-server"], "same"),
            entry(modules, "", where="/proc/sys/kernel/osrelease", remedy=remedy),
            # follows the kernel, so that the next one finds its modules
            entry([f"linux-modules-nvidia-{suffix}-{flavour}"], ""),
        ]
    built = "nvidia-open-kernel-dkms" if open_ else "nvidia-kernel-dkms"
    return [
        entry(["nvidia-driver"], wanted.version),
        entry([built], "same"),
        entry(["nvidia-smi"], "same"),
        entry(["nvidia-persistenced"], ""),
    ]


def fabric_entries(facts: dict[str, Any], wanted: Wanted, fabric: str, at: str) -> list[dict[str, Any]]:
    """The Fabric Manager refuses to work with a driver of another version, so it gets exactly the driver's."""
    branch = wanted.branch
    if fabric == "nvl72":
        return [entry(either("nvidia-imex", branch), at)]
    if fabric == "none":
        return []
    manager = either("nvidia-fabricmanager", branch)
    if _is_el(facts):
        manager = ["nvidia-fabricmanager", "nvidia-fabric-manager"]
    found = [entry(manager, at)]
    if fabric == "nvlink5":
        # the subnet manager has a version of its own, by calendar
        found += [entry(["nvlsm"], ""), entry(either("libnvsdm", branch), at)]
        if facts["os"]["id"] == "ubuntu":
            found.append(entry([f"linux-modules-extra-{facts['kernel']}"], "", hold=False))
    return found


def needs_repository(wanted: Wanted, fabric: str) -> bool:
    """A .run file brings no Fabric Manager: that comes from the vendor's repository, too."""
    return wanted.way == "repository" or (wanted.way == "runfile" and fabric != "none")


def files(facts: dict[str, Any], wanted: Wanted, fabric: str, url: str) -> list[dict[str, str]]:
    """What the package manager and the kernel must know, for ``fullrank.serving.node_files``."""
    found = [{"path": path, "state": "absent"} for path in stale_sources(facts, wanted)]
    if url and _is_el(facts):
        text = f"[fullrank-nvidia-cuda]\nname=NVIDIA CUDA\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey=file://{KEYRING_EL}\n"
        found.append({"path": SOURCE_EL, "content": text})
    elif url:
        # NVIDIA's repositories are flat: no suite, no component
        text = f"Types: deb\nURIs: {url}\nSuites: /\nSigned-By: {KEYRING}\n"
        found.append({"path": SOURCE, "content": text})
    archive = missing_components(facts, wanted)
    if archive:
        found.append({"path": ARCHIVE_SOURCE, "content": archive})
    if not _is_el(facts):
        rows = "".join(f'  "{name}";\n' for name in wanted.not_unattended)
        text = f"Unattended-Upgrade::Package-Blacklist {{\n{rows}}};\n"
        found.append({"path": UNATTENDED, "content": text, "comment": "//"})
    found.append({"path": NOUVEAU, "content": "blacklist nouveau\noptions nouveau modeset=0\n"})
    if fabric in FABRIC_MODULES:
        text = "".join(f"{name}\n" for name in FABRIC_MODULES[fabric])
        found.append({"path": NVLINK_MODULES, "content": text})
    return found


def stale_sources(facts: dict[str, Any], wanted: Wanted) -> list[str]:
    """Other sources of the vendor's repository, and its old key: apt refuses one URL with two keys."""
    if wanted.way == "distribution":
        return []
    marks = (
        repository_url(facts, wanted),
        "developer.download.nvidia.com/compute/cuda/repos",
        "developer.download.nvidia.cn/compute/cuda/repos",
    )
    found = [
        one["path"]
        for one in facts["sources"]
        if one["path"] not in OWN_FILES
        and one["path"] != "/etc/apt/sources.list"
        and any(mark in line for line in one["text"].splitlines() if not line.startswith("#") for mark in marks)
    ]
    return found + [path for path in facts["old_keys"] if path != "/etc/apt/trusted.gpg"]


def missing_components(facts: dict[str, Any], wanted: Wanted) -> str:
    """A source (deb822) of the components that hold the driver, at main's address and with its key; "" where none is missing."""
    if wanted.way != "distribution" or facts["os"]["id"] != "debian":
        return ""
    rows = [row for row in facts["archive"] if row["suite"] in (facts["os"]["codename"], "stable", "oldstable")]
    main = next((row for row in rows if row["component"] == "main"), None)
    missing = [name for name in _DEBIAN_COMPONENTS if name not in {row["component"] for row in rows}]
    if main is None or not missing:
        return ""
    signed = f"Signed-By: {main['signed_by']}\n" if main["signed_by"] else ""
    return f"Types: deb\nURIs: {main['uri']}\nSuites: {main['suite']}\nComponents: {' '.join(missing)}\n{signed}"


def runfile_arguments(wanted: Wanted, kind: str) -> list[str]:
    """Options of the .run file; --kernel-module-type came with branch 560, -m is its name before."""
    if wanted.way != "runfile":
        return []
    if version(wanted.version) >= (560,):
        return ["--silent", "--dkms", f"--kernel-module-type={kind}"]
    return ["--silent", "--dkms", f"-m={'kernel-open' if kind == nvidia_boards.OPEN else 'kernel'}"]


def findings(facts: dict[str, Any], wanted: Wanted, gpus: list[int], fabric: str) -> list[Check]:
    """Everything that stands in the way, at once."""
    return [
        *_of_the_version(facts, wanted, gpus),
        *_of_the_way(facts, wanted),
        *_of_secure_boot(facts, wanted),
        *_of_the_fabric(facts, gpus, fabric),
        *_of_old_keys(facts, wanted),
    ]


def _of_the_version(facts: dict[str, Any], wanted: Wanted, gpus: list[int]) -> list[Check]:
    found = []
    if not version(wanted.version):
        message = f"{wanted.version or 'nothing'} is no version"
        return [
            failed("driver-version", VERSION, message, "write one (580.95.05), or a branch (580) to take its newest")
        ]
    if wanted.way == "runfile" and "." not in wanted.version:
        message, remedy = f"a .run file has one version, {wanted.version} is a branch", "write the file's version"
        found.append(failed("driver-version", VERSION, message, remedy))
    for name, rule in nvidia_boards.unsupported(gpus, version(wanted.version)[0]).items():
        message = f"driver {wanted.version} does not drive the {name}: {rule}"
        found.append(failed("driver-branch", VERSION, message, "choose a branch that does"))
    kind, not_driven = nvidia_boards.kernel_modules(gpus, wanted.modules)
    if not_driven:
        message = f"the {kind} kernel modules do not drive {', '.join(not_driven)}"
        found.append(failed("kernel-modules", MODULES, message, "leave it at auto; take out cards that need others"))
    return found


def _of_the_way(facts: dict[str, Any], wanted: Wanted) -> list[Check]:
    there, where = installed_way(facts), "nvidia_driver_source"
    if there in ("none", wanted.way):
        return []
    how = {
        "runfile": "nvidia-uninstall --silent removes it",
        "mixed": "remove both: nvidia-uninstall --silent, then the role's remove.yml",
    }.get(there, "the role's remove.yml removes it")
    what = "by a .run file and by packages" if there == "mixed" else f"by {there}"
    message = (
        f"driver {installed_version(facts)} is installed {what}, and {wanted.way} is wanted; they overwrite each other"
    )
    return [failed("driver-ways", where, message, f"set it to {there}, or {how}" if there != "mixed" else how)]


def _of_secure_boot(facts: dict[str, Any], wanted: Wanted) -> list[Check]:
    signed = wanted.way == "distribution" and facts["os"]["id"] == "ubuntu"
    if not facts["secure_boot"] or signed or wanted.key_enrolled or facts["loaded"]["version"]:
        return []
    remedy = (
        "choose one: on Ubuntu nvidia_driver_source: distribution, whose modules are signed; or enrol a key "
        "(mokutil --import, confirmed at the console during a reboot) and set nvidia_driver_module_key_enrolled: true; "
        "or turn Secure Boot off in the firmware"
    )
    message = "Secure Boot is on: the kernel refuses a module that is built here, unless its key is enrolled"
    return [failed("secure-boot", "firmware", message, remedy)]


def _of_the_fabric(facts: dict[str, Any], gpus: list[int], fabric: str) -> list[Check]:
    if fabric == "none" and nvidia_boards.NVLINK5_BOARDS.intersection(gpus):
        message = (
            "HGX Blackwell GPUs, but no bridge with SW_MNG in its vital product data: nothing manages the fabric here"
        )
        return [
            warned("fabric", "/sys/bus/pci/devices/*/vpd", message, "in a guest its host does; elsewhere look at lspci")
        ]
    return []


def _of_old_keys(facts: dict[str, Any], wanted: Wanted) -> list[Check]:
    if wanted.way != "distribution" and "/etc/apt/trusted.gpg" in facts["old_keys"]:
        message = "holds NVIDIA's withdrawn key 7fa2af80 beside other keys"
        remedy = "gpg --no-default-keyring --keyring /etc/apt/trusted.gpg --batch --yes --delete-keys 7FA2AF80"
        return [warned("old-key", "/etc/apt/trusted.gpg", message, remedy)]
    return []
