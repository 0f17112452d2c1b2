# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What forbids the driver that is wanted, and what people should know about it.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import boards
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.installed import (
    installed_source,
    installed_version,
)
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.wanted import (
    MODULES,
    VENDOR,
    VERSION,
    Wanted,
    better_modules,
    is_el,
)


def findings(facts: dict[str, Any], wanted: Wanted, gpus: list[int], fabric: str) -> list[Finding]:
    """Everything that prevents the installation, at once."""
    return [
        *_of_the_version(facts, wanted, gpus),
        *_of_the_source(facts, wanted),
        *_of_secure_boot(facts, wanted),
        *_of_the_fabric(facts, wanted, gpus, fabric),
        *_of_old_keys(facts, wanted),
    ]


def _of_the_version(facts: dict[str, Any], wanted: Wanted, gpus: list[int]) -> list[Finding]:
    found = []
    if not numbers(wanted.version):
        message = f"{wanted.version or 'nothing'} is no version"
        return [
            failed("driver-version", VERSION, message, "write one (580.95.05), or a branch (580) to take its newest")
        ]
    if wanted.source == "runfile" and "." not in wanted.version:
        message, remedy = f"a .run file has one version, {wanted.version} is a branch", "write the file's version"
        found.append(failed("driver-version", VERSION, message, remedy))
    if wanted.source == "runfile" and not re.fullmatch(r"[0-9a-f]{64}", wanted.runfile_sha256):
        message = f"{wanted.runfile_sha256 or 'nothing'} is no sha256"
        remedy = "write that of the file, 64 hexadecimal digits; NVIDIA publishes it beside the file"
        found.append(failed("runfile-sha256", "nvidia_driver_runfile_sha256", message, remedy))
    for name, rule in boards.unsupported(gpus, numbers(wanted.version)[0]).items():
        message = f"driver {wanted.version} does not drive the {name}: {rule}"
        found.append(failed("driver-branch", VERSION, message, "choose a branch that does"))
    kind, not_driven = boards.kernel_modules(gpus, wanted.modules, better_modules(facts, wanted))
    if not_driven:
        message = f"the {kind} kernel modules do not drive {', '.join(not_driven)}"
        found.append(failed("kernel-modules", MODULES, message, "leave it at auto; take out cards that need others"))
    return found


def _of_the_source(facts: dict[str, Any], wanted: Wanted) -> list[Finding]:
    there, where = installed_source(facts), "nvidia_driver_source"
    if is_el(facts) and wanted.source == "distribution":
        return [
            failed("driver-source", where, "this distribution has no NVIDIA driver of its own", "set it to repository")
        ]
    if there in ("none", wanted.source):
        return _of_two_archives(facts, wanted)
    how = {
        "runfile": "nvidia-uninstall --silent removes it",
        "mixed": "remove both: nvidia-uninstall --silent, then the role's remove.yml",
    }.get(there, "the role's remove.yml removes it")
    what = "by a .run file and by packages" if there == "mixed" else f"by {there}"
    message = f"driver {installed_version(facts)} is installed {what}, and {wanted.source} is wanted; they overwrite each other"
    return [failed("driver-source", where, message, f"set it to {there}, or {how}" if there != "mixed" else how)]


def _of_two_archives(facts: dict[str, Any], wanted: Wanted) -> list[Finding]:
    """Debian and NVIDIA call it nvidia-driver both: with both archives apt would take the newer one's, or half of each."""
    if wanted.source != "distribution" or facts["os"]["id"] != "debian":
        return []
    found = []
    for one in facts["sources"]:
        lines = [line for line in one["text"].splitlines() if not line.lstrip().startswith("#")]
        if any(mark.partition("://")[2] in line for line in lines for mark in VENDOR):
            message = "offers NVIDIA's nvidia-driver beside Debian's"
            remedy = "remove this source, or set nvidia_driver_source: repository"
            found.append(failed("driver-sources", one["path"], message, remedy))
    return found


def _of_secure_boot(facts: dict[str, Any], wanted: Wanted) -> list[Finding]:
    signed = wanted.source == "distribution" and facts["os"]["id"] == "ubuntu"
    if not facts["secure_boot"] or signed or wanted.key_enrolled or facts["loaded"]["version"]:
        return []
    remedy = (
        "choose one: on Ubuntu nvidia_driver_source: distribution, whose modules are signed; or enrol a key "
        "(mokutil --import, confirmed at the console during a reboot) and set nvidia_driver_module_key_enrolled: true; "
        "or turn Secure Boot off in the firmware"
    )
    message = "Secure Boot is on: the kernel refuses a module that is built here, unless its key is enrolled"
    return [failed("secure-boot", "firmware", message, remedy)]


def _of_the_fabric(facts: dict[str, Any], wanted: Wanted, gpus: list[int], fabric: str) -> list[Finding]:
    if fabric == "none" and boards.NVLINK5_BOARDS.intersection(gpus):
        message = (
            "HGX Blackwell GPUs, but no bridge with SW_MNG in its vital product data: nothing manages the fabric here"
        )
        return [
            warned("fabric", "/sys/bus/pci/devices/*/vpd", message, "in a guest its host does; elsewhere look at lspci")
        ]
    if fabric == "nvl72" and not (wanted.imex_nodes or facts["imex_nodes"]):
        message = "nvidia-imex is not started: it knows no other nodes of the rack, and GPUs of this node reach only each other"
        remedy = "set it to the addresses of all nodes of the rack, the same list on each"
        return [warned("imex-nodes", "nvidia_driver_imex_nodes", message, remedy)]
    return []


def _of_old_keys(facts: dict[str, Any], wanted: Wanted) -> list[Finding]:
    if wanted.source != "distribution" and "/etc/apt/trusted.gpg" in facts["old_keys"]:
        message = "holds NVIDIA's withdrawn key 7fa2af80 beside other keys"
        remedy = "gpg --no-default-keyring --keyring /etc/apt/trusted.gpg --batch --yes --delete-keys 7FA2AF80"
        return [warned("old-key", "/etc/apt/trusted.gpg", message, remedy)]
    return []
