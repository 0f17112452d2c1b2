#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: host_tuning_plan
short_description: What it takes to bring a node's settings to what engines want, or back
version_added: 0.1.0
description:
  - Reads kernel settings, limits, swap, time synchronisation and the firewall, and says which values, files and commands
    are missing. It changes nothing.
  - Knows a list of settings, each with its reason and source; another key, or a value that a setting does not take, is
    refused, all of them at once.
options:
  state:
    description: V(present) plans towards the options, V(absent) back to what was found before the first change.
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
extends_documentation_fragment:
  - fullrank.serving.attributes
seealso:
  - module: fullrank.serving.host_tuning_apply
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Know what is missing
  fullrank.serving.host_tuning_plan:
    sysctl: {net.core.somaxconn: 8192}
    limits: {nofile: 1048576}
  register: plan
"""

RETURN = r"""
pending:
  description: Whether M(fullrank.serving.host_tuning_apply) has something to do.
  returned: always
  type: bool
values:
  description: Path in C(/proc/sys) or C(/sys) to the value to write.
  returned: always
  type: dict
before:
  description: The same paths to what they hold.
  returned: always
  type: dict
first:
  description: What was found before the first change, to be recorded.
  returned: always
  type: dict
commands:
  description: Commands to run after that.
  returned: always
  type: list
  elements: list
files:
  description: For M(fullrank.serving.node_files).
  returned: always
  type: list
  elements: dict
reload_ok:
  description: Whether systemd may be told to read its settings again. Not while ranks run.
  returned: always
  type: bool
reload_pending:
  description: Whether systemd has other limits than its files say.
  returned: always
  type: bool
findings:
  description: What stands in the way, or deserves a look.
  returned: always
  type: list
  elements: dict
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import report
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import firewall
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import plan as host_tuning_plan
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning.settings import LIMITS
from ansible_collections.fullrank.serving.plugins.module_utils.node import system
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

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
            ("systemctl", "list-units", "--state=active", "--plain", "--no-legend", "fullrank-*.service"),
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


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    given = module.params
    facts = collect(Host(), given)
    plan = host_tuning_plan.make(facts, given) if given["state"] == "present" else host_tuning_plan.unmake(facts)
    failures = [one for one in plan["findings"] if one["status"] == "fail"]
    if failures:
        module.fail_json(msg=report(failures), **plan)
    module.exit_json(changed=False, **plan)


if __name__ == "__main__":
    main()
