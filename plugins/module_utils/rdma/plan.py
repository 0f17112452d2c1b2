# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rdma does to a node: facts and wishes → plan and findings. Pure.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import natural_key
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import stack
from ansible_collections.fullrank.serving.plugins.module_utils.rdma.node import VENDOR_MELLANOX, Node, overriding

# GPUDirect RDMA through dma-buf: NVIDIA GPU Operator, "GPUDirect RDMA and GPUDirect Storage" (open modules, kernel 5.12).
# The open modules exist for Turing and newer only, so they imply the generation.
DMA_BUF_KERNEL = "5.12"
DMA_BUF, PEERMEM, NONE = "dma-buf", "peermem", "none"


@dataclass(frozen=True)
class Conflict:
    """Packages that stand in the way of a stack. ``when``: ``installed`` or ``held``."""

    packages: tuple[str, ...]
    sources: tuple[str, ...]
    when: str
    severity: str
    message: str
    remedy: str


# Azure/azhpc-images (components/install_doca*, install_mellanoxofed*) removes or pins these; the Ubuntu metapackages:
# Ubuntu Server documentation, "Install NVIDIA DOCA-OFED".
CONFLICTS = (
    Conflict(
        ("rdma-core", "libibverbs1"), stack.OUT_OF_TREE, "held", "fail",
        "held at the distribution's version, which has another ABI than OFED's",
        "unhold it (apt-mark unhold, dnf versionlock delete), or keep rdma_source: inbox",
    ),
    Conflict(
        ("dkms",), stack.OUT_OF_TREE, "held", "fail",
        "held, but OFED brings the version that it builds with", "unhold it (apt-mark unhold, dnf versionlock delete)",
    ),
    Conflict(
        ("mft",), stack.OUT_OF_TREE, "installed", "warn",
        "is in CUDA's repository too, and may come from there in a version that OFED's tools refuse",
        "remove it, and let OFED's own repository bring it",
    ),
    Conflict(
        ("openmpi-bin", "openmpi", "pmix", "libpmix2"), stack.OUT_OF_TREE, "installed", "warn",
        "brings files that OFED's MPI brings too", "remove it where installing OFED stops with a file conflict",
    ),
    Conflict(
        ("doca-ofed-generic", "doca-ofed-generic-hwe"), stack.OUT_OF_TREE, "installed", "fail",
        "is Ubuntu's own DOCA-OFED, which conflicts with NVIDIA's repository",
        "remove it, or keep rdma_source: inbox and let Ubuntu maintain it",
    ),
)  # fmt: skip


def make(node: Node, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The plan; see the documentation of ``fullrank.serving.rdma_stack_info`` for its keys."""
    family = stack.family(node.release)
    skip = (
        "" if node.pci_functions or node.hcas else "no RDMA device: no Mellanox card on the PCI bus, nothing in sysfs"
    )
    if skip:
        return {**_EMPTY, "skip": skip, "findings": [], "stack": node.stack.kind}
    if not family:
        name = f"{node.release.get('ID', 'unknown')} {node.release.get('VERSION_ID', '')}".strip()
        return {
            **_EMPTY,
            "findings": [failed("os", "/etc/os-release", f"{name} is not supported", "use Debian, Ubuntu or RHEL")],
        }
    source = wanted["source"]
    mechanism, gpudirect = decide_gpudirect(node, wanted["gpudirect"], source)
    findings = [*source_findings(node, wanted), *conflicts(node, source), *gpudirect, *memlock_findings(node)]
    migrate = source == stack.DOCA and node.stack.kind == stack.MLNX_OFED
    modules = stack.modules({VENDOR_MELLANOX} if node.pci_functions else set())
    if mechanism == PEERMEM:
        modules.append("nvidia_peermem")
    texts = {
        stack.SYSTEM_FILE: stack.system_text(),
        stack.MODULES_FILE: "".join(f"{name}\n" for name in modules),
    }
    if node.memlock_raisable:
        texts[stack.LIMITS_FILE] = stack.limits_text()
    if source in stack.OUT_OF_TREE and mechanism == PEERMEM:
        texts[stack.OPENIBD_FILE] = stack.openibd_text()
    return {
        **_EMPTY,
        "devices": [*dict.fromkeys([*node.pci_functions, *(hca["name"] for hca in node.hcas)])],
        "stack": node.stack.kind,
        "family": family,
        "packages": stack.packages(source, family, wanted["version"]),
        "uninstall": uninstall(node) if migrate else [],
        "uninstaller": node.uninstaller,
        "repository": repository(node, wanted) if source in stack.OUT_OF_TREE else {},
        "files": _file_entries(texts),
        "modules": modules,
        "modules_missing": [name for name in modules if name.replace("-", "_") not in node.loaded],
        "gpudirect": mechanism,
        "openibd": source in stack.OUT_OF_TREE,
        "initramfs": node.initramfs if source in stack.OUT_OF_TREE else [],
        "rebuild_nvidia": [
            ["dkms", verb, "--force", "-m", name, "-v", number, "-k", node.kernel]
            for name, number in (node.dkms_nvidia if mechanism == PEERMEM and source in stack.OUT_OF_TREE else [])
            for verb in ("build", "install")
        ],
        "reload_ok": not node.engines,
        "memlock_pending": node.memlock_manager not in ("infinity", ""),
        "reboot_required": reboot_reason(node),
        "findings": findings,
    }


def unmake(node: Node) -> dict[str, Any]:
    """The plan that takes away what the role brought: our files, and an out-of-tree stack. The distribution's packages stay."""
    out_of_tree = node.stack.kind in stack.OUT_OF_TREE
    return {
        **_EMPTY,
        "stack": node.stack.kind,
        "family": stack.family(node.release),
        "uninstall": uninstall(node) if out_of_tree else [],
        "uninstaller": node.uninstaller,
        "packages": stack.packages(node.stack.kind, stack.family(node.release), "")[:1] if out_of_tree else [],
        "repository": {"name": stack.REPOSITORY},
        "files": _file_entries({}),
        "reload_ok": not node.engines,
        "findings": [],
    }


_EMPTY: dict[str, Any] = {
    "skip": "",
    "devices": [],
    "stack": "",
    "family": "",
    "packages": [],
    "uninstall": [],
    "uninstaller": "",
    "repository": {},
    "files": [],
    "modules": [],
    "modules_missing": [],
    "gpudirect": NONE,
    "openibd": False,
    "initramfs": [],
    "rebuild_nvidia": [],
    "reload_ok": True,
    "memlock_pending": False,
    "reboot_required": "",
}


def repository(node: Node, wanted: Mapping[str, Any]) -> dict[str, str]:
    """For ``fullrank.serving.package_repository``."""
    return {
        "name": stack.REPOSITORY,
        "url": stack.repository_url(
            wanted["repository_url"], wanted["source"], wanted["version"], node.release, node.machine
        ),
        "key_url": wanted["repository_key"],
        "fingerprint": wanted["repository_fingerprint"],
    }


def uninstall(node: Node) -> list[list[str]]:
    """The commands that remove OFED by its own script, which stops at packages that are held."""
    if not node.uninstaller:
        return []
    unhold = ["apt-mark", "unhold"] if stack.family(node.release) == "debian" else ["dnf", "versionlock", "delete"]
    held = [[*unhold, *sorted(node.held)]] if node.held else []
    return [*held, [node.uninstaller, "--force"]]


def _file_entries(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Our drop-ins, one per mechanism, for ``fullrank.serving.node_files``; those of another choice are taken away."""
    return [
        {"path": path, "content": texts[path]} if path in texts else {"path": path, "state": "absent"}
        for path in stack.OWN_FILES
    ]


def source_findings(node: Node, wanted: Mapping[str, Any]) -> list[Finding]:
    """Whether this stack can be built and take the place of the one that is there."""
    source, where, found = wanted["source"], "rdma_source", []
    if source in stack.OUT_OF_TREE:
        if not wanted["version"]:
            found.append(failed("version", "rdma_version", f"{source} needs a version", _VERSION_REMEDY[source]))
        if not wanted["repository_fingerprint"]:
            message = "the key that signs the repository is not known to this role"
            remedy = (
                f"fetch {wanted['repository_key']}, read its fingerprint (gpg --show-keys), compare it with NVIDIA's, and write "
                "the fingerprints of its keys"
            )
            found.append(failed("repository-key", "rdma_repository_fingerprint", message, remedy))
        newest = max(node.kernels, key=natural_key, default=node.kernel)
        if natural_key(newest) > natural_key(node.kernel):
            message = (
                f"kernel {node.kernel} runs, {newest} is installed: modules would be built for the one that is left"
            )
            # a stack that is there is not built again; a kernel that came by itself only waits for its boot
            make_one = warned if node.stack.kind == source else failed
            found.append(make_one("kernel-newest", "/lib/modules", message, "reboot first"))
        if not node.headers:
            package = (
                f"linux-headers-{node.kernel}"
                if stack.family(node.release) == "debian"
                else f"kernel-devel-{node.kernel}"
            )
            message = f"headers of the running kernel {node.kernel} are missing"
            remedy = f"install {package}; if the archive no longer has it, update the kernel and reboot first"
            found.append(failed("kernel-headers", f"/lib/modules/{node.kernel}/build", message, remedy))
        if node.secure_boot and not wanted["module_key_enrolled"]:
            message = f"Secure Boot is on, and {source} builds modules that no enrolled key has signed"
            remedy = (
                "rdma_source: inbox (signed by the distribution); or enrol dkms's key (mokutil --import, then the console at "
                "the next boot) and set rdma_module_key_enrolled; or turn Secure Boot off"
            )
            found.append(failed("secure-boot", "firmware", message, remedy))
    there = node.stack.kind
    if there == stack.MLNX_OFED and source == stack.DOCA:
        if not node.uninstaller:
            message = f"MLNX_OFED {node.stack.version} is installed without ofed_uninstall.sh"
            found.append(failed("stack-mixed", where, message, "remove it by the packages that brought it"))
        elif not wanted["migrate_ok"]:
            message = f"MLNX_OFED {node.stack.version} is installed, and must be removed before DOCA-OFED: RDMA stops meanwhile"
            found.append(
                failed("stack-migration", where, message, "set rdma_migrate_ok, or keep rdma_source: mlnx_ofed")
            )
    elif there in stack.OUT_OF_TREE and there != source:
        message = f"{there} {node.stack.version} is installed; the way from it to {source} is not one of ours"
        remedy = f"keep rdma_source: {there}, or remove it first (the role's remove.yml, or ofed_uninstall.sh --force) and reboot"
        found.append(failed("stack-mixed", where, message, remedy))
    return found


_VERSION_REMEDY = {
    stack.DOCA: "name a folder of the repository, such as 3.2.1",
    stack.MLNX_OFED: "name a folder of the repository, such as 24.10-1.1.4.0 (the last line of it)",
}


def conflicts(node: Node, source: str) -> list[Finding]:
    """The packages of CONFLICTS that this node has; what our own stack has brought is none."""
    found = []
    for rule in CONFLICTS:
        there = node.held if rule.when == "held" else set(node.packages)
        hit = [name for name in rule.packages if name in there]
        if not hit or source not in rule.sources or (rule.when == "installed" and node.stack.kind == source):
            continue
        make_one = failed if rule.severity == "fail" else warned
        found.append(make_one("package-conflict", ", ".join(hit), f"{', '.join(hit)} {rule.message}", rule.remedy))
    return found


def decide_gpudirect(node: Node, wished: str, source: str) -> tuple[str, list[Finding]]:
    """How cards reach GPU memory, and what is wrong with it: ``dma-buf`` needs nothing loaded, ``peermem`` a module."""
    where, new_enough = "rdma_gpudirect", numbers(node.kernel) >= numbers(DMA_BUF_KERNEL)
    if wished == NONE or not node.gpus:
        return NONE, []
    if wished != PEERMEM and not node.driver_kind:
        message = "the NVIDIA module is not loaded: how GPU memory is reached is decided when it is"
        return NONE, [warned("gpudirect", where, message, "run the role nvidia_driver first, and this one again")]
    if wished != PEERMEM and node.driver_kind == "open" and new_enough:
        return DMA_BUF, []
    if wished == DMA_BUF:
        message = f"dma-buf needs the open kernel modules and kernel {DMA_BUF_KERNEL}; here: {node.driver_kind}, {node.kernel}"
        return DMA_BUF, [
            failed("gpudirect", where, message, "install the open modules, or set rdma_gpudirect: peermem")
        ]
    if source == stack.INBOX and not node.peer_memory:
        message = "nvidia-peermem needs ib_register_peer_memory_client, which this kernel's ib_core does not have"
        remedy = (
            "install the open kernel modules (dma-buf), or rdma_source: doca; until then NCCL copies through memory"
        )
        return NONE, [warned("gpudirect", where, message, remedy)]
    return PEERMEM, []


def memlock_findings(node: Node) -> list[Finding]:
    """A limit that cannot be granted, and the user's own settings that are read after ours and win."""
    found = []
    if not node.memlock_raisable:
        message = (
            "PID 1 may not raise it: a login whose limits.d wants more would be refused, so limits.d is left alone"
        )
        remedy = "give the machine or container CAP_SYS_RESOURCE, or raise its own limit from outside"
        found.append(warned("memlock-capped", "/proc/1/limits", message, remedy))
    rows = [
        *overriding(node.limits, stack.LIMITS_FILE, r"(\*|root)\s+(soft|hard|-)\s+memlock\s+(?!unlimited)"),
        *overriding(node.system_confs, stack.SYSTEM_FILE, r"DefaultLimitMEMLOCK=(?!infinity)"),
    ]
    remedy = "remove that line, or raise it"
    found += [
        warned("memlock-overridden", path, f"'{line}' is read after ours and wins", remedy) for path, line in rows
    ]
    return found


def reboot_reason(node: Node) -> str:
    """Why the node must be rebooted; empty when it need not. Loaded and installed driver are compared by srcversion."""
    loaded, on_disk = node.srcversions
    if loaded and on_disk and loaded != on_disk:
        return f"mlx5_core {loaded} is loaded, {on_disk} is installed"
    return ""
