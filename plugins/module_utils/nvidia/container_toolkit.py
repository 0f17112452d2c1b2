# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node needs so that containers see its GPUs: facts → plan. Functions from values to values.

Source: NVIDIA Container Toolkit, Installation Guide and "Support for Container Device Interface"
(https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/); its systemd units are in the repository
NVIDIA/nvidia-container-toolkit, deployments/systemd, since 1.18.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import CommandResult, Host
from ansible_collections.fullrank.serving.plugins.module_utils.node.system import os_release

# They are built together and ask for each other by exact version only in part: the four are held at one.
PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
REPOSITORY = "fullrank-nvidia-container-toolkit"
VENDOR = "https://nvidia.github.io/libnvidia-container"
# https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html; one key for apt and dnf
FINGERPRINT = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"
SPEC = "/var/run/cdi/nvidia.yaml"
OTHER_SPECS = ("/etc/cdi/nvidia.yaml",)
OWN_UNIT = "fullrank-cdi-refresh"
VENDOR_UNIT = "nvidia-cdi-refresh"
# The first that know CDI devices: Docker Engine 25.0 release notes (a feature to turn on until 28.3), Podman 4.1.0 release notes,
# containerd/nerdctl pull request 4170 (May 2025, 2.1).
RUNTIMES_WITH_CDI = {"docker": "25.0", "podman": "4.1", "nerdctl": "2.1"}
_NEWER = {
    "docker": "install docker from Docker's repository (docker_source), which has newer ones than this release",
    "podman": "install a newer one",
    "nerdctl": "install a newer one",
}

# for toolkits before 1.18, which bring no units; a driver's installation ends with depmod
UNITS = {
    f"/etc/systemd/system/{OWN_UNIT}.service": (
        "[Unit]\nDescription=CDI specification of the NVIDIA GPUs\nBefore=docker.service\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"ExecStart=/usr/bin/nvidia-ctk cdi generate --output={SPEC}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    f"/etc/systemd/system/{OWN_UNIT}.path": (
        "[Unit]\nDescription=A change of the kernel modules renews the CDI specification\n"
        f"[Path]\nPathChanged=/lib/modules/%v/modules.dep\nUnit={OWN_UNIT}.service\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
}

ENABLED_LINKS = [path.replace("/system/", "/system/multi-user.target.wants/") for path in UNITS]


def collect(host: Host) -> dict[str, Any]:
    """What the plan is made from; nothing is changed."""
    release = os_release(host)
    families = (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    smi, docker, podman, nerdctl, units, installed = host.run_all(
        [
            ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
            ("docker", "version", "--format", "{{.Server.Version}}"),
            ("podman", "version", "--format", "{{.Client.Version}}"),
            ("nerdctl", "version", "--format", "{{.Client.Version}}"),
            ("systemctl", "is-enabled", f"{VENDOR_UNIT}.path", f"{VENDOR_UNIT}.service", f"{OWN_UNIT}.path"),
            ("nvidia-ctk", "--version"),
        ]
    )
    return {
        "debian": "debian" in families or "ubuntu" in families,
        "driver_found": smi is not None,
        "driver_message": smi.message if smi and smi.rc else "",
        "driver_version": smi.stdout.split("\n")[0].strip() if smi and smi.rc == 0 else "",
        "runtimes": {"docker": answer(docker), "podman": answer(podman), "nerdctl": answer(nerdctl)},
        "units": (units.stdout if units else "").split(),
        "toolkit": toolkit_version(installed.stdout if installed else ""),
        "spec": host.read(SPEC),
        "other_specs": [path for path in OTHER_SPECS if host.exists(path)],
    }


def answer(result: CommandResult | None) -> dict[str, str]:
    """A runtime's version, and its message where there is none."""
    if result is None:
        return {"version": "", "message": "is not installed"}
    good = result.rc == 0 and result.stdout.strip()
    return {"version": (good or "").removeprefix("v"), "message": "" if good else result.message or "does not answer"}


def toolkit_version(text: str) -> str:
    """``nvidia-ctk --version`` → the version; "" for another text.

    >>> toolkit_version("NVIDIA Container Toolkit CLI version 1.18.1")
    '1.18.1'
    """
    match = re.search(r"version (\d[\d.]*)", text)
    return match.group(1) if match else ""


def plan(facts: dict[str, Any], wanted: str, mirror: str, fingerprint: str, runtime: str) -> dict[str, Any]:
    """The plan; its keys are documented as those of ``fullrank.serving.container_toolkit_info``."""
    own_units = facts["toolkit"] and numbers(facts["toolkit"]) < (1, 18)
    unit = OWN_UNIT if own_units else VENDOR_UNIT
    return {
        "skip": "" if facts["driver_found"] else "there is no driver (nvidia-smi) on this node",
        "driver_version": facts["driver_version"],
        "repository": repository(facts, mirror, fingerprint),
        "packages": [
            {"names": [name], "version": "same" if index else wanted, "where": "nvidia_container_toolkit_version"}
            for index, name in enumerate(PACKAGES)
        ],
        "unit_files": [{"path": path, "content": text} for path, text in UNITS.items()] if own_units else [],
        "units": [f"{unit}.path", f"{unit}.service"],
        "units_enabled": facts["units"].count("enabled") >= (1 if own_units else 2),
        "spec_stale": spec_stale(facts["spec"], facts["driver_version"]),
        "own_files": [
            # the links that enabled our units go before what they lead to
            *({"path": path, "state": "absent"} for path in (*ENABLED_LINKS, *UNITS)),
            {"path": SPEC, "state": "absent", "ours": True},
        ],
        "findings": findings(facts, runtime) if facts["driver_found"] else [],
    }


def spec_stale(spec: str | None, driver: str) -> bool:
    """Whether the CDI specification is not that of the driver: it names the libraries, whose names end with the version."""
    return bool(driver) and (spec is None or driver not in spec)


def repository(facts: dict[str, Any], mirror: str, fingerprint: str) -> dict[str, Any]:
    """The repository, with its key, for ``fullrank.serving.package_repository``."""
    below = "stable/deb/$(ARCH)" if facts["debian"] else "stable/rpm/$basearch"
    return {
        "name": REPOSITORY,
        "url": f"{mirror.rstrip('/')}/{below}",
        "key_url": f"{mirror.rstrip('/')}/gpgkey",
        "fingerprint": fingerprint or FINGERPRINT,
        # whatever architecture their sources name
        "aliases": [f"{address}/stable" for address in (mirror.rstrip("/"), VENDOR)],
    }


def findings(facts: dict[str, Any], runtime: str) -> list[Finding]:
    """What stands in the way."""
    found = []
    if facts["driver_message"]:
        remedy = "boot the node where the driver was changed; otherwise look at dmesg for NVRM"
        found.append(failed("driver", "nvidia-smi", facts["driver_message"], remedy))
    there, first = facts["runtimes"].get(runtime), RUNTIMES_WITH_CDI.get(runtime, "")
    if there and not there["version"]:
        message = f"{runtime} {there['message']}"
        remedy = "install and start it first (role docker), or set it to none"
        found.append(failed("runtime", "nvidia_container_toolkit_runtime", message, remedy))
    elif there and numbers(there["version"]) < numbers(first):
        message = f"{runtime} {there['version']} knows no CDI devices, {first} is the first that does"
        found.append(failed("runtime-cdi", runtime, message, _NEWER[runtime]))
    for path in facts["other_specs"]:
        message = f"{path} describes the same devices as {SPEC}, and nothing renews it when the driver changes"
        found.append(
            failed("cdi-spec", path, message, "remove it: container runtimes refuse a device that two files describe")
        )
    return found
