# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role host_tuning does to a node: facts and wishes → values, files, commands and findings. Pure.

PRIVATE to this collection.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import firewall, settings

SYSCTL_FILE = "/etc/sysctl.d/90-fullrank.conf"
LIMITS_FILE = "/etc/security/limits.d/90-fullrank.conf"
SYSTEM_FILE = "/etc/systemd/system.conf.d/90-fullrank.conf"
TMPFILES_FILE = "/etc/tmpfiles.d/fullrank.conf"
TIMESYNCD_FILE = "/etc/systemd/timesyncd.conf.d/fullrank.conf"
CHRONY_FILE = "/etc/chrony/conf.d/fullrank.conf"
OWN_FILES = (
    SYSCTL_FILE, LIMITS_FILE, SYSTEM_FILE, TMPFILES_FILE, TIMESYNCD_FILE, CHRONY_FILE, firewall.NFT_FILE, firewall.UNIT_FILE,
)  # fmt: skip
GOVERNORS = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
NR_HUGEPAGES = "/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages"
TIME_UNITS = ("chrony", "chronyd", "systemd-timesyncd", "ntpsec", "ntp", "ntpd")


@dataclass(frozen=True)
class Facts:
    """``values``: path in /proc/sys or /sys → what it holds, for all that are wanted and there. ``first``: what was found
    before the first change, from our own record. ``units``: unit → ``active``, ``enabled``, ``masked`` ... as systemd reports."""

    values: Mapping[str, str]
    first: Mapping[str, Any]
    container: bool = False
    swap: tuple[str, ...] = ()
    swap_masked: bool = False
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nofile_hard: int = -1
    may_raise: bool = True
    defaults: Mapping[str, str] = field(default_factory=dict)
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    ruleset: str = ""
    ufw: str = ""
    firewalld: tuple[str, ...] | None = None
    chrony_conf_d: bool = True
    governors: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()


def sysctl_path(key: str) -> str:
    return "/proc/sys/" + key.replace(".", "/")


def wanted_values(wanted: Mapping[str, Any], governors: Iterable[str]) -> dict[str, str]:
    """Path → value of everything that is written into the running kernel."""
    values = {sysctl_path(key): _spaced(value) for key, value in wanted["sysctl"].items()}
    if wanted["governor"]:
        values |= dict.fromkeys(governors, wanted["governor"])
    if wanted["transparent_hugepages"]:
        values[THP] = wanted["transparent_hugepages"]
    for size, count in wanted["hugepages"].items():
        if size in settings.HUGEPAGE_SIZES:
            values[NR_HUGEPAGES.format(settings.HUGEPAGE_SIZES[size])] = str(count)
    return values


def current(text: str) -> str:
    """A value as it is compared: the chosen one of ``always [madvise] never``, otherwise with single blanks."""
    chosen = re.search(r"\[(\S+)\]", text)
    return chosen[1] if chosen else _spaced(text)


def _spaced(value: Any) -> str:
    return " ".join(str(value).split())


def check_wishes(wanted: Mapping[str, Any]) -> list[Finding]:
    """Keys that are not in the table, and values that they do not take."""
    found = [_check("host_tuning_sysctl", key, value, settings.SYSCTLS) for key, value in wanted["sysctl"].items()]
    limits = {name: setting for name, (_unused, setting) in settings.LIMITS.items()}
    found += [_check("host_tuning_limits", key, value, limits) for key, value in wanted["limits"].items()]
    sizes = dict.fromkeys(settings.HUGEPAGE_SIZES, settings.HUGEPAGES)
    found += [_check("host_tuning_hugepages", key, value, sizes) for key, value in wanted["hugepages"].items()]
    for name, setting in (("governor", settings.GOVERNOR), ("transparent_hugepages", settings.TRANSPARENT_HUGEPAGES)):
        if wanted[name]:
            found.append(_check("host_tuning", name, wanted[name], {name: setting}, joint="_"))
    for address in wanted["firewall_peers"]:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            found.append(
                failed("address", "host_tuning_firewall_peers", f"{address!r} is no address", "give IP addresses")
            )
    return [one for one in found if one]


def _check(where: str, key: str, value: Any, known: Mapping[str, settings.Setting], joint: str = ".") -> Finding | None:
    if key not in known:
        near = difflib.get_close_matches(key, known, 2)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(known))}"
        if key == "memlock":
            remedy = "locked memory is set by the role rdma"
        return failed("unknown-key", f"{where}{joint}{key}", "is not one of the settings that this role knows", remedy)
    if not re.fullmatch(known[key].pattern, _spaced(value)):
        message = f"{value!r} is not a value of it"
        return failed("value", f"{where}{joint}{key}", message, f"write what matches {known[key].pattern}")
    return None


def make(facts: Facts, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The plan that ``fullrank.serving.host_tuning`` applies.

    ``values``: path in /proc/sys or /sys → new value; ``before``: the same paths → present value. ``first``: the record of what
    was found before the first change. ``commands``: lists of words, run after that. ``files``: entries of `node.managed_files`.
    ``pending``: whether values, commands or the record differ. ``reload_pending``: systemd has other limits than its files;
    ``reload_ok``: no rank runs. ``findings``: `common.findings.Finding`; with a failed one everything else is empty.
    """
    findings = check_wishes(wanted)
    if findings:
        return {**_EMPTY, "findings": findings}
    targets = wanted_values(wanted, facts.governors)
    missing = [path for path in targets if path not in facts.values]
    findings += [
        warned("not-there", path, "this kernel has no such setting", "leave it out on this node") for path in missing
    ]
    if wanted["governor"] and not facts.governors:
        message = "no frequency scaling is visible: a virtual machine, or the firmware does it"
        findings.append(warned("governor", GOVERNORS, message, "set the performance profile in the firmware"))
    limits, capped = _grantable(facts, wanted["limits"])
    findings += [*capped, *_overriding(facts, wanted)]
    time_commands, time_findings, time_texts = _time(facts, wanted)
    wall_commands, wall_findings, wall_texts = _firewall(facts, wanted)
    swap_commands = _swap(facts, wanted)
    texts = {**_texts(wanted, limits, missing), **time_texts, **wall_texts}
    changes = {
        path: value for path, value in targets.items() if path in facts.values and current(facts.values[path]) != value
    }
    # what is no longer wanted gets back what it had before us
    dropped = {path: value for path, value in facts.first.get("values", {}).items() if path not in targets}
    first = _first(facts, wanted, targets, time_commands)
    commands = [*swap_commands, *time_commands, *wall_commands]
    return {
        "pending": bool(dropped or changes or commands or first != facts.first),
        "values": {**dropped, **changes},
        "before": {path: current(facts.values.get(path, "")) for path in {**dropped, **changes}},
        "first": first,
        "commands": commands,
        "files": _files(texts),
        "reload_ok": not facts.engines,
        "reload_pending": any(
            facts.defaults.get(settings.LIMITS[name][0], "") != str(value).replace("unlimited", "infinity")
            for name, value in limits.items()
        ),
        "findings": [*findings, *time_findings, *wall_findings],
    }


_EMPTY: dict[str, Any] = {
    "pending": False,
    "values": {},
    "before": {},
    "first": {},
    "commands": [],
    "files": [],
    "reload_ok": True,
    "reload_pending": False,
    "findings": [],
}


def unmake(facts: Facts) -> dict[str, Any]:
    """The plan that restores the values recorded before the first change; keys as in `make`."""
    values = dict(facts.first.get("values", {}))
    commands = []
    if facts.first.get("swap"):
        commands += [["systemctl", "unmask", "--quiet", "swap.target"], ["swapon", "--all"]]
    if facts.first.get("time_unit"):
        commands.append(["systemctl", "disable", "--quiet", "--now", facts.first["time_unit"]])
    commands += _firewall(facts, {"firewall_peers": []})[0]
    return {
        **_EMPTY,
        "pending": bool(values or commands or facts.first),
        "values": values,
        "before": {path: current(facts.values.get(path, "")) for path in values},
        "commands": commands,
        "files": _files({}),
        "reload_ok": not facts.engines,
    }


def _first(
    facts: Facts, wanted: Mapping[str, Any], targets: Mapping[str, str], time_commands: list[list[str]]
) -> dict[str, Any]:
    """The record of what was found, with what this run touches for the first time, without what it lets go."""
    known = {path: value for path, value in facts.first.get("values", {}).items() if path in targets}
    found = {path: current(facts.values[path]) for path in targets if path in facts.values}
    record: dict[str, Any] = {"values": {**found, **known}}
    if wanted["swap"] == "off":
        record["swap"] = facts.first.get("swap") or list(facts.swap)
    if time_commands or facts.first.get("time_unit"):
        record["time_unit"] = facts.first.get("time_unit") or time_commands[0][-1]
    if facts.firewalld is not None and wanted["firewall_peers"]:
        already = set(facts.first.get("firewall", [])) & set(wanted["firewall_peers"])
        record["firewall"] = sorted(already | (set(wanted["firewall_peers"]) - set(facts.firewalld)))
    return record


def _files(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"path": path, "content": texts[path]} if path in texts else {"path": path, "state": "absent"}
        for path in OWN_FILES
    ]


def _texts(wanted: Mapping[str, Any], limits: Mapping[str, Any], missing: list[str]) -> dict[str, str]:
    """One drop-in for each mechanism, each key under its reason."""
    texts = {}
    rows = [
        f"# {settings.SYSCTLS[key].why}\n# {settings.SYSCTLS[key].source}\n{key} = {_spaced(value)}\n"
        for key, value in sorted(wanted["sysctl"].items())
        if sysctl_path(key) not in missing
    ]
    if rows:
        texts[SYSCTL_FILE] = "\n".join(rows)
    rules = [
        (settings.GOVERNOR, GOVERNORS, wanted["governor"]),
        (settings.TRANSPARENT_HUGEPAGES, THP, wanted["transparent_hugepages"]),
    ]
    rules += [
        (settings.HUGEPAGES, NR_HUGEPAGES.format(settings.HUGEPAGE_SIZES[size]), str(count))
        for size, count in sorted(wanted["hugepages"].items())
    ]
    # tmpfiles.d(5): w writes into a file that is there; it takes patterns
    rows = [
        f"# {one.why}\n# {one.source}\nw {path} - - - - {value}\n"
        for one, path, value in rules
        if value and path not in missing
    ]
    if rows:
        texts[TMPFILES_FILE] = "\n".join(rows)
    if limits:
        lines = []
        for name, value in sorted(limits.items()):
            lines.append(f"# {settings.LIMITS[name][1].why}\n")
            lines += [f"{who} {kind} {name} {value}\n" for who in ("*", "root") for kind in ("soft", "hard")]
        texts[LIMITS_FILE] = "".join(lines)
        rows = [
            f"{settings.LIMITS[name][0]}={str(value).replace('unlimited', 'infinity')}\n"
            for name, value in sorted(limits.items())
        ]
        texts[SYSTEM_FILE] = "[Manager]\n" + "".join(rows)
    return texts


def _grantable(facts: Facts, limits: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Limits that PID 1 can grant. A login whose limits.d wants more is refused by pam_limits."""
    if facts.may_raise:
        return dict(limits), []
    granted, found = {}, []
    for name, value in limits.items():
        if name == "nofile" and str(value).isdigit() and int(value) <= facts.nofile_hard:
            granted[name] = value
            continue
        message = f"{name} {value} is more than PID 1 may grant here; it is left alone, because logins would be refused"
        remedy = "give the machine or container CAP_SYS_RESOURCE, or lower the limit"
        found.append(warned("limit-capped", f"host_tuning_limits.{name}", message, remedy))
    return granted, found


def _overriding(facts: Facts, wanted: Mapping[str, Any]) -> list[Finding]:
    """The user's own files that are read after ours and set the same: theirs win, and are findings."""
    found = []
    for path, text in sorted(facts.drop_ins.items()):
        folder, _unused, name = path.rpartition("/")
        own = next((one for one in OWN_FILES if one.rpartition("/")[0] == folder), "")
        # /etc/sysctl.conf is linked as 99-sysctl.conf where it counts
        if not own or path == own or name <= own.rpartition("/")[2]:
            continue
        for line in text.splitlines():
            setting = re.match(r"^-?([\w.]+)\s*=\s*(.*?)\s*$", line.strip())
            if setting and own == SYSCTL_FILE and setting[1] in wanted["sysctl"]:
                ours, theirs = _spaced(wanted["sysctl"][setting[1]]), _spaced(setting[2])
                if ours != theirs:
                    message = f"{setting[1]} = {theirs} is read after ours ({ours}) and wins at the next boot"
                    found.append(warned("overridden", path, message, "remove one of the two"))
            limit = re.match(r"^(\S+)\s+(soft|hard|-)\s+(\w+)\s+(\S+)", line.strip())
            if (
                limit
                and own == LIMITS_FILE
                and limit[3] in wanted["limits"]
                and limit[4] != str(wanted["limits"][limit[3]])
            ):
                found.append(
                    warned("overridden", path, f"'{line.strip()}' is read after ours and wins", "remove one of the two")
                )
    return found


def _swap(facts: Facts, wanted: Mapping[str, Any]) -> list[list[str]]:
    commands = []
    if wanted["swap"] == "off" and not facts.swap_masked:
        commands.append(["systemctl", "mask", "--quiet", "swap.target"])
    if wanted["swap"] == "off" and facts.swap:
        commands.append(["swapoff", "--all"])
    if wanted["swap"] == "keep" and facts.first.get("swap"):
        commands += [["systemctl", "unmask", "--quiet", "swap.target"], ["swapon", "--all"]]
    return commands


def _time(facts: Facts, wanted: Mapping[str, Any]) -> tuple[list[list[str]], list[Finding], dict[str, str]]:
    """Whatever keeps the time already is used; timesyncd is switched on where it is there and nothing else is."""
    where = "time"
    if not wanted["time_sync"]:
        return [], [], {}
    there = {name: state for name, state in facts.units.items() if state.get("LoadState") == "loaded"}
    active = next((name for name in TIME_UNITS if there.get(name, {}).get("ActiveState") == "active"), "")
    chosen = active or next((name for name in TIME_UNITS if name in there), "")
    texts: dict[str, str] = {}
    found: list[Finding] = []
    if wanted["ntp_servers"] and chosen:
        if chosen == "systemd-timesyncd":
            texts[TIMESYNCD_FILE] = f"[Time]\nNTP={' '.join(wanted['ntp_servers'])}\n"
        elif chosen in ("chrony", "chronyd") and facts.chrony_conf_d:
            texts[CHRONY_FILE] = "".join(f"server {one} iburst\n" for one in wanted["ntp_servers"])
        else:
            message = f"{chosen} reads no folder of drop-ins here, and its own file is left alone"
            found.append(
                warned("ntp-servers", "host_tuning_ntp_servers", message, "write the servers into its own file")
            )
    if facts.container:
        found.append(warned("time", where, "a container has the clock of its host", "synchronise the host"))
    elif not chosen:
        message = "nothing keeps the clock, and ranks with different clocks end in time-outs and refused certificates"
        found.append(warned("time", where, message, "install chrony, or systemd-timesyncd"))
    elif not active:
        return [["systemctl", "enable", "--quiet", "--now", chosen]], found, texts
    return [], found, texts


def _firewall(facts: Facts, wanted: Mapping[str, Any]) -> tuple[list[list[str]], list[Finding], dict[str, str]]:
    """Openings in the firewall that is there; none where none is."""
    peers = list(wanted["firewall_peers"])
    chains, rules = firewall.parse_ruleset(facts.ruleset)
    enabled = facts.units.get(firewall.NFT_UNIT, {}).get("UnitFileState") == "enabled"
    if facts.firewalld is not None:
        ours = set(facts.first.get("firewall", []))
        return firewall.firewalld_commands(set(facts.firewalld), peers, ours), [], {}
    active, there = firewall.parse_ufw(facts.ufw)
    if active:
        return firewall.ufw_commands(there, peers), [], {}
    if not peers or not chains:
        return firewall.nft_commands(chains, rules, [], enabled), [], {}
    lines = "".join(f"{line}\n" for line in firewall.nft_lines(chains, peers))
    texts = {firewall.NFT_FILE: lines, firewall.UNIT_FILE: firewall.nft_unit()}
    return firewall.nft_commands(chains, rules, peers, enabled), [], texts
