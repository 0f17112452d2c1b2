# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: operating system, kernel, Secure Boot, memory limits, disk space.

Each function takes the node and what is wanted (the module's options) and answers with checks.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    Finding,
    failed,
    passed,
    skipped,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host, natural_key
from ansible_collections.fullrank.serving.plugins.module_utils.node.system import (
    CAP_SYS_RESOURCE,
    os_release,
    parse_capabilities,
    parse_memlock,
    running_kernel,
    secure_boot,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.manifest import READY

ROOM_TO_WORK = 1.05  # below this much of what is needed there is no room for logs and temporary files


def check_os(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """``os_supported``: entries ``ubuntu`` or ``ubuntu 24.04``; for ``rhel`` also what calls itself like it."""
    release = os_release(host)
    name, number = release.get("ID", ""), release.get("VERSION_ID", "")
    families = [name, *release.get("ID_LIKE", "").split()]
    shown = f"{name} {number}".strip() or "unknown"
    if not wanted["os_supported"]:
        return [skipped("os", "/etc/os-release", f"{shown}; no list of supported ones was given")]
    for entry in wanted["os_supported"]:
        wanted_name, _unused, wanted_number = entry.partition(" ")
        same = number == wanted_number or number.startswith(wanted_number + ".") or not wanted_number
        if same and (wanted_name == name or (wanted_name == "rhel" and wanted_name in families)):
            return [passed("os", "/etc/os-release", f"{shown} is supported", distribution=name, version=number)]
    return [
        warned(
            "os",
            "/etc/os-release",
            f"{shown} is none of: {', '.join(wanted['os_supported'])}",
            "expect package names and paths to differ, or install one of these",
        )
    ]


def check_kernel(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """Version, headers where a module will be built, and whether the running kernel is the newest installed one."""
    kernel, where = running_kernel(host), "/proc/sys/kernel/osrelease"
    if not kernel:
        return [skipped("kernel-version", where, "the running kernel could not be read")]
    checks = []
    if wanted["kernel_min"] and numbers(kernel) < numbers(wanted["kernel_min"]):
        message = f"kernel {kernel}, but {wanted['kernel_min']} is needed"
        checks.append(failed("kernel-version", where, message, "install a newer kernel and reboot", kernel=kernel))
    else:
        checks.append(passed("kernel-version", where, f"kernel {kernel}", kernel=kernel))
    checks.append(_kernel_headers(host, wanted, kernel))
    installed = [name for name in host.entries("/lib/modules") if host.exists(f"/lib/modules/{name}/modules.dep")]
    if installed and natural_key(installed[-1]) > natural_key(kernel):
        checks.append(
            warned(
                "kernel-newest",
                "/lib/modules",
                f"kernel {kernel} runs, {installed[-1]} is installed",
                "reboot before a driver is built: the next reboot changes the kernel under it",
                installed=installed,
            )
        )
    else:
        checks.append(passed("kernel-newest", "/lib/modules", "the newest installed kernel runs"))
    return checks


def _kernel_headers(host: Host, wanted: dict[str, Any], kernel: str) -> Finding:
    where = f"/lib/modules/{kernel}/build"
    if not wanted["kernel_headers"]:
        return skipped("kernel-headers", where, "no kernel module will be built")
    if host.exists(f"{where}/Makefile"):
        return passed("kernel-headers", where, f"headers of {kernel} are there")
    release = os_release(host)
    debian = "debian" in (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    package = f"linux-headers-{kernel}" if debian else f"kernel-devel-{kernel}"
    remedy = f"install {package}; if the archive no longer has it, update the kernel and reboot first"
    return failed("kernel-headers", where, f"headers of the running kernel {kernel} are missing", remedy)


def check_secure_boot(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """With Secure Boot the kernel refuses modules that are not signed with an enrolled key."""
    code, where = "secure-boot", "firmware"
    if not secure_boot(host):
        return [passed(code, where, "off", enabled=False)]
    if host.exists("/sys/module/nvidia"):
        return [passed(code, where, "on, and the NVIDIA module is loaded", enabled=True)]
    if not wanted["kernel_headers"]:
        return [passed(code, where, "on, and no kernel module will be built", enabled=True)]
    remedy = "use the distribution's signed modules, enrol a key (mokutil --import, console at reboot), or turn it off"
    return [failed(code, where, "on: a module built here will not load without an enrolled key", remedy, enabled=True)]


def check_memlock(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """RDMA pins memory. A rank gets its limit from systemd, so what counts is what PID 1 may grant; what a login shell
    has counts for what is started by hand."""
    code, needed = "memlock", wanted["memlock_bytes"]
    if not needed:
        return [skipped(code, "memlock_bytes", "no locked memory is requested")]
    granted = parse_memlock(host.read("/proc/1/limits") or "")
    if granted is None:
        return [skipped(code, "/proc/1/limits", "the limits of PID 1 could not be read")]
    may_raise = bool(parse_capabilities(host.read("/proc/1/status") or "") & 1 << CAP_SYS_RESOURCE)
    required = "unlimited" if needed < 0 else human.binary(needed)
    if not _enough(granted[1], needed) and not may_raise:
        message = f"{required} is needed, but PID 1 has {human.binary(granted[1])} at most and may not raise it"
        remedy = "give the machine or container CAP_SYS_RESOURCE, or raise its own limit from outside"
        return [failed(code, "/proc/1/limits", message, remedy, hard_bytes=granted[1])]
    checks = [passed(code, "/proc/1/limits", f"systemd can grant {required}")]
    login = parse_memlock(host.read("/proc/self/limits") or "")
    if login is not None and not _enough(login[0], needed):
        message = f"a login has {human.binary(login[0])}, {required} is needed for what is started by hand or by a task"
        remedy = "write `* - memlock unlimited` and `root - memlock unlimited` to /etc/security/limits.d/fullrank.conf"
        checks.append(warned("memlock-login", "/proc/self/limits", message, remedy, soft_bytes=login[0]))
    return checks


def _enough(limit: int, needed: int) -> bool:
    return limit < 0 or 0 < needed <= limit


def check_space(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """Space on every file system that will be written, all paths on one file system added up; and /dev/shm's size.

    ``df`` asks, because it can be given up on: a dead NFS server hangs every call into its mounts.
    """
    paths = _with_needs(host, wanted["paths"])
    entries = [entry for entry in paths if entry["needed"]]
    checks = [_nothing_needed(entry) for entry in paths if not entry["needed"]]
    shm = wanted["shm_bytes"]
    existing = sorted({entry["existing"] for entry in entries}) + (["/dev/shm"] if shm else [])
    if not existing:
        return checks or [skipped("disk-space", "paths", "no paths were given")]
    result = host.run("df", "--block-size=1", "--output=target,fstype,size,avail", *existing)
    volumes = parse_df(result.stdout, existing) if result and result.rc == 0 else {}
    if not volumes:
        message = f"df did not answer: {result.message if result else 'not installed'}"
        remedy = "look for a mount whose server is gone"
        return [*checks, failed("disk-space", ", ".join(existing), message, remedy, paths=existing)]
    read_only = _read_only_mounts(host)
    checks += [_shm(host, volumes["/dev/shm"], wanted)] if shm else []
    by_target: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_target.setdefault(volumes[entry["existing"]]["target"], []).append(entry)
    for target, together in by_target.items():
        volume = volumes[together[0]["existing"]]
        checks.append(_volume(target, volume, together, target in read_only))
    return checks


def _with_needs(host: Host, paths: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The paths with the nearest folder that ``existing`` and the bytes that are ``needed`` in addition to what is there."""
    return [
        {**entry, "existing": _existing(host, entry["path"]), "needed": _needed(entry, _present(host, entry))}
        for entry in paths
    ]


def _needed(entry: dict[str, Any], present: int) -> int:
    """Bytes still to be written. Complete is what is about as large as configured: people round sizes up."""
    if present * ROOM_TO_WORK >= entry["bytes"]:
        return 0
    return int(entry["bytes"] * entry["copies"] - present)


def _present(host: Host, entry: dict[str, Any]) -> int:
    """Bytes that are there already, where they count; through links, because model caches consist of them."""
    if not entry["reuse"] or not host.exists(entry["path"]):
        return 0
    if host.exists(f"{entry['path']}/{READY}"):
        return int(entry["bytes"])  # a copy of the role model that is verified, whatever size is configured
    result = host.run("du", "--dereference", "--apparent-size", "--block-size=1", "--summarize", entry["path"])
    first = result.stdout.split()[:1] if result else []
    return int(first[0]) if first and first[0].isdecimal() else 0


def _nothing_needed(entry: dict[str, Any]) -> Finding:
    return passed("disk-space", entry["path"], f"nothing to be written: {entry['purpose']}", needed_bytes=0)


def _volume(target: str, volume: dict[str, Any], entries: list[dict[str, Any]], read_only: bool) -> Finding:
    code, free, needed = "disk-space", volume["avail"], sum(entry["needed"] for entry in entries)
    what = " + ".join(f"{entry['path']} ({entry['purpose']}: {human.binary(entry['needed'])})" for entry in entries)
    data = {"target": target, "free_bytes": free, "needed_bytes": needed, "paths": [entry["path"] for entry in entries]}
    if read_only:
        return failed(code, target, f"mounted read-only, but will be written: {what}", "mount it read-write", **data)
    if free < needed:
        message = f"{human.binary(free)} free, {human.binary(needed)} needed: {what}"
        return failed(code, target, message, "free space, or set these paths to a larger file system", **data)
    if free < needed * ROOM_TO_WORK:
        message = f"{human.binary(free)} free, {human.binary(needed)} needed, which leaves no room to work: {what}"
        return warned(code, target, message, "free some space", **data)
    return passed(code, target, f"{human.binary(free)} free, {human.binary(needed)} needed", **data)


def _shm(host: Host, volume: dict[str, Any], wanted: dict[str, Any]) -> Finding:
    code, where, needed = "shm", "/dev/shm", wanted["shm_bytes"]
    if volume["fstype"] != "tmpfs":
        return failed(code, where, f"is no tmpfs but {volume['fstype']}", "mount a tmpfs there", **volume)
    if volume["avail"] >= needed:
        return passed(code, where, f"{human.binary(volume['avail'])} free", **volume)
    if volume["size"] >= needed and _runs(host, wanted["own"]):
        return passed(code, where, f"{human.binary(volume['avail'])} free beside our own engine", **volume)
    message = f"{human.binary(volume['avail'])} free of {human.binary(volume['size'])}, {human.binary(needed)} needed"
    total = needed + volume["size"] - volume["avail"]
    remedy = (
        f"remove what dead engines left there, or mount -o remount,size={total} /dev/shm, and the same in /etc/fstab"
    )
    return failed(code, where, message, remedy, **volume)


def _runs(host: Host, units: list[str]) -> bool:
    """systemctl(1): is-active succeeds when at least one of the units is active."""
    result = host.run("systemctl", "is-active", *units) if units else None
    return result is not None and result.rc == 0


def _existing(host: Host, path: str) -> str:
    """The path, or the nearest folder above it that exists: what is not there yet will be made on that file system."""
    while path not in ("", "/") and not host.exists(path):
        path = path.rstrip("/").rpartition("/")[0]
    return path or "/"


def parse_df(text: str, paths: list[str]) -> dict[str, dict[str, Any]]:
    """``df --block-size=1 --output=target,fstype,size,avail PATH...`` → path → its file system; {} for another form."""
    lines = [line.rsplit(maxsplit=3) for line in text.splitlines()[1:] if line.strip()]
    if len(lines) != len(paths) or any(len(fields) != 4 for fields in lines):
        return {}
    volumes = {}
    for path, (target, fstype, total, avail) in zip(paths, lines):  # noqa: B905 - strict is not known to Python 3.9
        if not (total.isdigit() and avail.isdigit()):
            return {}
        volumes[path] = {"target": target, "fstype": fstype, "size": int(total), "avail": int(avail)}
    return volumes


def _read_only_mounts(host: Host) -> set[str]:
    fields = [line.split() for line in (host.read("/proc/self/mounts") or "").splitlines()]
    return {entry[1] for entry in fields if len(entry) > 3 and "ro" in entry[3].split(",")}
