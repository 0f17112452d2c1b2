#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: host_tuning
short_description: Kernel settings, limits, huge pages, swap, clock and firewall of a node
version_added: 0.1.0
description:
  - Brings the settings of a node to the given values, in the running kernel and for the next boot, and restores the values of
    before with O(state=absent).
  - Knows a table of settings, each with its reason and source. Another key, or a value that a setting does not take, is refused;
    all such findings are reported together, before anything changes.
  - Before its first change it records the present values in C(/var/lib/fullrank/host_tuning.json). A setting that is no longer
    wanted gets its recorded value back.
  - Writes drop-in files of its own only. A file that another administrator wrote and that is read later wins; this is a finding.
  - Tells systemd to read its settings again, except while ranks run, whose containers can lose their GPUs by it.
options:
  state:
    description: V(present) applies the options, V(absent) restores what was recorded before the first change.
    type: str
    choices: [present, absent]
    default: present
  sysctl:
    description: Kernel settings.
    type: dict
    default: {}
  limits:
    description: Limits of logins and services by the names of C(limits.conf) - C(nofile), C(nproc), C(stack).
    type: dict
    default: {}
  hugepages:
    description: Size (V(2Mi), V(1Gi)) to number of pages set aside.
    type: dict
    default: {}
  transparent_hugepages:
    description: V(always), V(madvise) or V(never); empty leaves it.
    type: str
    default: ""
  governor:
    description: CPU frequency governor; empty leaves it.
    type: str
    default: ""
  swap:
    description: V(off) turns swap off, also for the next boot.
    type: str
    choices: [keep, "off"]
    default: keep
  time_sync:
    description: Whether something must keep the clock.
    type: bool
    default: true
  ntp_servers:
    description: Servers to keep it by; those of the distribution when empty.
    type: list
    elements: str
    default: []
  firewall_peers:
    description: Addresses that the firewall lets in on all ports.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Returns the same values without changing anything.
    support: full
  diff_mode:
    description: Shows values and files before and after, and the commands.
    support: full
  idempotent:
    description: Values, files and services that are as wanted are not touched.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Tune the node
  fullrank.serving.host_tuning:
    sysctl: {net.core.somaxconn: 8192}
    limits: {nofile: 1048576}

- name: Restore the values of before
  fullrank.serving.host_tuning:
    state: absent
"""

RETURN = r"""
pending:
  description: Whether anything differs from the wish; after a run without check mode, whether anything did.
  returned: always
  type: bool
settings:
  description: Path in C(/proc/sys) or C(/sys) to the value that was written, or would be.
  returned: always
  type: dict
  sample: {/proc/sys/net/core/somaxconn: "8192"}
commands:
  description: Commands that were run, or would be, each as a list of words.
  returned: always
  type: list
  elements: list
changed_paths:
  description: Files that were written or removed, or would be.
  returned: always
  type: list
  elements: str
findings:
  description: What prevents the change, or deserves attention - C(severity), C(code), C(where), C(message), C(remedy), C(data).
  returned: always
  type: list
  elements: dict
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failures
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import firewall
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import plan as host_tuning_plan
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning.settings import LIMITS
from ansible_collections.fullrank.serving.plugins.module_utils.node import managed_files, system
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.state import engine_units

RECORD = "/var/lib/fullrank/host_tuning.json"
OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "sysctl": {"type": "dict", "default": {}},
    "limits": {"type": "dict", "default": {}},
    "hugepages": {"type": "dict", "default": {}},
    "transparent_hugepages": {"type": "str", "default": ""},
    "governor": {"type": "str", "default": ""},
    "swap": {"type": "str", "choices": ["keep", "off"], "default": "keep"},
    "time_sync": {"type": "bool", "default": True},
    "ntp_servers": {"type": "list", "elements": "str", "default": []},
    "firewall_peers": {"type": "list", "elements": "str", "default": []},
}


def collect(host: Host, wanted: dict[str, Any]) -> host_tuning_plan.Facts:
    first = json.loads(host.read(RECORD) or "{}")
    governors = (
        tuple(str(path) for path in sorted(Path("/").glob(host_tuning_plan.GOVERNORS[1:])))
        if wanted["governor"]
        else ()
    )
    paths = {*host_tuning_plan.wanted_values(wanted, governors), *first.get("values", {})}
    units = [*host_tuning_plan.TIME_UNITS, firewall.NFT_UNIT]
    virt, shown, swap, manager, ranks, ruleset, ufw, firewalld, sources = host.run_all(
        [
            ("systemd-detect-virt", "--container"),
            ("systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState", *units),
            ("swapon", "--show=NAME", "--noheadings", "--raw"),
            ("systemctl", "show", *(f"--property={one}" for one, _unused in LIMITS.values())),
            ("systemctl", "list-units", "--state=active", "--plain", "--no-legend", *engine_units()),
            ("nft", "-j", "list", "ruleset"),
            ("ufw", "status"),
            ("firewall-cmd", "--state"),
            ("firewall-cmd", "--permanent", "--zone=trusted", "--list-sources"),
        ]
    )
    folders = {
        path.rpartition("/")[0]
        for path in (host_tuning_plan.SYSCTL_FILE, host_tuning_plan.LIMITS_FILE, host_tuning_plan.SYSTEM_FILE)
    }
    drop_ins = [f"{folder}/{name}" for folder in folders for name in host.entries(folder) if name.endswith(".conf")]
    blocks = [_pairs(block) for block in (shown.stdout if shown else "").split("\n\n")]
    capabilities = system.parse_capabilities(host.read("/proc/1/status") or "")
    return host_tuning_plan.Facts(
        values={path: text for path in paths if (text := host.read(path)) is not None},
        first=first,
        container=bool(virt and virt.rc == 0),
        swap=tuple((swap.stdout if swap else "").split()),
        swap_masked=host.link_name("/etc/systemd/system/swap.target") == "null",
        units=dict(zip(units, blocks)),  # noqa: B905 - strict is not known to Python 3.9
        nofile_hard=system.hard_limit(host.read("/proc/1/limits") or "", "Max open files"),
        may_raise=bool(capabilities & 1 << system.CAP_SYS_RESOURCE),
        defaults=_pairs(manager.stdout if manager else ""),
        drop_ins={path: host.read(path) or "" for path in drop_ins},
        ruleset=ruleset.stdout if ruleset and ruleset.rc == 0 else "",
        ufw=ufw.stdout if ufw and ufw.rc == 0 else "",
        firewalld=tuple(sources.stdout.split()) if firewalld and firewalld.rc == 0 and sources else None,
        chrony_conf_d=host.exists("/etc/chrony/conf.d"),
        governors=governors,
        engines=tuple(line.split()[0] for line in (ranks.stdout if ranks else "").splitlines()),
    )


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


class Tuning:
    """One plan and its application to the node."""

    def __init__(self, module: AnsibleModule, facts: host_tuning_plan.Facts, plan: Mapping[str, Any]) -> None:
        self.module = module
        self.plan = plan
        self.restores = module.params["state"] == "absent"
        self.files = managed_files.differing(plan["files"])
        self.paths = [entry["path"] for entry in self.files]
        self.reloads = bool(self.files or plan["reload_pending"]) and plan["reload_ok"]
        clocks = {host_tuning_plan.CHRONY_FILE, host_tuning_plan.TIMESYNCD_FILE}.intersection(self.paths)
        active = [name for name, state in facts.units.items() if state.get("ActiveState") == "active"]
        self.restarts = [name for name in active if name in host_tuning_plan.TIME_UNITS] if clocks else []

    @property
    def changed(self) -> bool:
        return bool(self.plan["pending"] or self.files)

    def apply(self) -> None:
        if self.restores:  # the commands disable units whose files go next
            self.write_values()
            Path(RECORD).unlink(missing_ok=True)
            self.write_files()
        else:  # the record first: it must hold what was found before any change
            write(Path(RECORD), json.dumps(self.plan["first"], indent=2, sort_keys=True) + "\n", 0o644)
            self.write_files()
            self.write_values()
        if self.restarts:
            self.module.run_command(["systemctl", "try-restart", *self.restarts], check_rc=True)

    def write_files(self) -> None:
        for entry in self.files:
            managed_files.apply(entry)
        if self.reloads:
            self.module.run_command(["systemctl", "daemon-reload"], check_rc=True)

    def write_values(self) -> None:
        for path, value in self.plan["values"].items():
            self.set(path, value)
        for command in self.plan["commands"]:
            self.module.run_command(command, check_rc=True)

    def set(self, path: str, value: str) -> None:
        """Write one value and read it back. The kernel sets aside fewer huge pages without an error when memory is short."""
        try:
            Path(path).write_text(f"{value}\n")
        except OSError as error:
            self.module.fail_json(msg=f"{path}: the kernel refuses {value!r}: {error.strerror}")
        held = host_tuning_plan.current(Path(path).read_text())
        if held != value:
            self.module.fail_json(msg=f"{path}: {value!r} was written, but the kernel holds {held!r}")

    def diff(self) -> list[dict[str, str]]:
        before = "".join(f"{path} = {value}\n" for path, value in self.plan["before"].items())
        after = "".join(f"{path} = {value}\n" for path, value in self.plan["values"].items())
        after += "".join(f"run {' '.join(words)}\n" for words in self.plan["commands"])
        return [*map(managed_files.diff, self.files), {"before": before, "after": after}]


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    params = module.params
    facts = collect(Host(), params)
    plan = host_tuning_plan.make(facts, params) if params["state"] == "present" else host_tuning_plan.unmake(facts)
    findings = plan["findings"]
    if message := failures(findings):
        module.fail_json(msg=message, findings=findings)
    tuning = Tuning(module, facts, plan)
    result = {
        "pending": tuning.changed or tuning.reloads,
        "settings": plan["values"],
        "commands": plan["commands"],
        "changed_paths": tuning.paths,
        "findings": findings,
        **({"diff": tuning.diff()} if module._diff else {}),
    }
    if result["pending"] and not module.check_mode:
        tuning.apply()
    module.exit_json(changed=tuning.changed, **result)


if __name__ == "__main__":
    main()
