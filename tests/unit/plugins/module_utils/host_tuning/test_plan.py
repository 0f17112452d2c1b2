# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role host_tuning's decisions: facts and wishes → values, files, commands and findings."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import firewall, plan, settings

SOMAXCONN = "/proc/sys/net/core/somaxconn"
FACTS = plan.Facts(values={SOMAXCONN: "4096"}, first={})
TIMESYNCD = {"systemd-timesyncd": {"LoadState": "loaded", "ActiveState": "inactive"}}


def wanted(**changes: Any) -> dict[str, Any]:
    return {
        "sysctl": {},
        "limits": {},
        "hugepages": {},
        "transparent_hugepages": "",
        "governor": "",
        "swap": "keep",
        "time_sync": False,
        "ntp_servers": [],
        "firewall_peers": [],
        **changes,
    }


def text(made: dict[str, Any], path: str) -> str:
    return next(one.get("content", "") for one in made["files"] if one["path"] == path)


def ids(made: dict[str, Any]) -> list[str]:
    return [one["code"] for one in made["findings"]]


def test_every_setting_has_a_reason_and_a_source() -> None:
    limits = [one for _, one in settings.LIMITS.values()]
    for one in [
        *settings.SYSCTLS.values(),
        *limits,
        settings.GOVERNOR,
        settings.TRANSPARENT_HUGEPAGES,
        settings.HUGEPAGES,
    ]:
        assert len(one.why) > 20
        assert one.source.startswith("https://") or one.source.endswith("(5)")
        re.compile(one.pattern)


def test_what_differs_is_written_once_and_recorded_as_it_was() -> None:
    made = plan.make(FACTS, wanted(sysctl={"net.core.somaxconn": 8192}))
    assert (made["values"], made["before"]) == ({SOMAXCONN: "8192"}, {SOMAXCONN: "4096"})
    assert made["first"] == {"values": {SOMAXCONN: "4096"}}
    after = replace(FACTS, values={SOMAXCONN: "8192"}, first=made["first"])
    again = plan.make(after, wanted(sysctl={"net.core.somaxconn": 8192}))
    assert (again["pending"], again["values"], again["first"]) == (False, {}, made["first"])
    assert plan.unmake(after)["values"] == {SOMAXCONN: "4096"}
    dropped = plan.make(after, wanted())
    assert (dropped["values"], dropped["first"]) == ({SOMAXCONN: "4096"}, {"values": {}})


def test_a_setting_stands_below_its_reason() -> None:
    made = plan.make(FACTS, wanted(sysctl={"net.core.somaxconn": 8192}))
    why = settings.SYSCTLS["net.core.somaxconn"]
    assert text(made, plan.SYSCTL_FILE) == f"# {why.why}\n# {why.source}\nnet.core.somaxconn = 8192\n"


def test_mistakes_are_found_together() -> None:
    made = plan.make(
        FACTS,
        wanted(
            sysctl={"net.core.somaxcon": 1, "vm.swappiness": "low"},
            limits={"memlock": "unlimited", "nofile": -1},
            transparent_hugepages="sometimes",
            hugepages={"4Ki": 2},
            firewall_peers=["n2"],
        ),
    )
    assert ids(made) == ["unknown-key", "value", "unknown-key", "value", "unknown-key", "value", "address"]
    assert made["files"] == [] and not made["pending"]
    assert "net.core.somaxconn" in made["findings"][0]["remedy"]
    assert "role rdma" in made["findings"][2]["remedy"]


def test_the_chosen_one_of_several_is_compared() -> None:
    facts = replace(FACTS, values={plan.THP: "always [madvise] never"})
    assert not plan.make(facts, wanted(transparent_hugepages="madvise"))["values"]
    made = plan.make(facts, wanted(transparent_hugepages="never"))
    assert made["values"] == {plan.THP: "never"}
    assert f"w {plan.THP} - - - - never\n" in text(made, plan.TMPFILES_FILE)


def test_governor_of_every_processor_and_of_none() -> None:
    cpus = tuple(f"/sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor" for n in range(2))
    facts = plan.Facts(values=dict.fromkeys(cpus, "powersave"), first={}, governors=cpus)
    made = plan.make(facts, wanted(governor="performance"))
    assert made["values"] == dict.fromkeys(cpus, "performance")
    assert f"w {plan.GOVERNORS} - - - - performance" in text(made, plan.TMPFILES_FILE)
    assert ids(plan.make(FACTS, wanted(governor="performance"))) == ["governor"]


def test_huge_pages() -> None:
    path = plan.NR_HUGEPAGES.format(2048)
    made = plan.make(replace(FACTS, values={path: "0"}), wanted(hugepages={"2Mi": 512}))
    assert made["values"] == {path: "512"}
    assert f"w {path} - - - - 512" in text(made, plan.TMPFILES_FILE)


def test_a_setting_that_this_kernel_does_not_have_is_reported_and_left_out() -> None:
    made = plan.make(FACTS, wanted(sysctl={"kernel.numa_balancing": 0}))
    assert (ids(made), made["values"]) == (["not-there"], {})
    assert {"path": plan.SYSCTL_FILE, "state": "absent"} in made["files"]


def test_limits_of_logins_and_services() -> None:
    made = plan.make(
        replace(FACTS, defaults={"DefaultLimitNOFILE": "1"}), wanted(limits={"nofile": 9, "stack": "unlimited"})
    )
    rows = [line for line in text(made, plan.LIMITS_FILE).splitlines() if not line.startswith("#")]
    assert rows[:4] == ["* soft nofile 9", "* hard nofile 9", "root soft nofile 9", "root hard nofile 9"]
    assert text(made, plan.SYSTEM_FILE) == "[Manager]\nDefaultLimitNOFILE=9\nDefaultLimitSTACK=infinity\n"
    assert made["reload_pending"]


def test_a_limit_that_cannot_be_granted_is_left_alone() -> None:
    facts = replace(FACTS, may_raise=False, nofile_hard=1000)
    assert ids(plan.make(facts, wanted(limits={"nofile": 1000}))) == []
    made = plan.make(facts, wanted(limits={"nofile": 1001, "stack": 5}))
    assert ids(made) == ["limit-capped", "limit-capped"]
    assert {"path": plan.LIMITS_FILE, "state": "absent"} in made["files"]


def test_a_file_that_wins_is_reported() -> None:
    facts = replace(
        FACTS,
        drop_ins={
            "/etc/sysctl.d/99-x.conf": "net.core.somaxconn=1\n",
            "/etc/sysctl.d/10-x.conf": "net.core.somaxconn=2\n",
            "/etc/security/limits.d/95-x.conf": "* soft nofile 3\n",
        },
    )
    made = plan.make(facts, wanted(sysctl={"net.core.somaxconn": 8}, limits={"nofile": 9}))
    assert sorted(one["where"] for one in made["findings"]) == [
        "/etc/security/limits.d/95-x.conf",
        "/etc/sysctl.d/99-x.conf",
    ]


def test_swap_off_and_back() -> None:
    facts = replace(FACTS, swap=("/dev/sda2",))
    made = plan.make(facts, wanted(swap="off"))
    assert made["commands"] == [["systemctl", "mask", "--quiet", "swap.target"], ["swapoff", "--all"]]
    after = replace(FACTS, swap_masked=True, first=made["first"])
    assert plan.make(after, wanted(swap="off"))["commands"] == []
    back = [["systemctl", "unmask", "--quiet", "swap.target"], ["swapon", "--all"]]
    assert plan.make(after, wanted())["commands"] == back
    assert plan.unmake(after)["commands"] == back


# --- time ---


def test_what_keeps_the_clock_is_used() -> None:
    facts = replace(FACTS, units={**TIMESYNCD, "chrony": {"LoadState": "loaded", "ActiveState": "active"}})
    made = plan.make(facts, wanted(time_sync=True, ntp_servers=["10.0.0.1"]))
    assert made["commands"] == []
    assert text(made, plan.CHRONY_FILE) == "server 10.0.0.1 iburst\n"


def test_what_is_there_is_switched_on_and_off_again() -> None:
    made = plan.make(replace(FACTS, units=TIMESYNCD), wanted(time_sync=True, ntp_servers=["a", "b"]))
    assert made["commands"] == [["systemctl", "enable", "--quiet", "--now", "systemd-timesyncd"]]
    assert text(made, plan.TIMESYNCD_FILE) == "[Time]\nNTP=a b\n"
    undone = plan.unmake(replace(FACTS, first=made["first"]))
    assert undone["commands"] == [["systemctl", "disable", "--quiet", "--now", "systemd-timesyncd"]]


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, ["time"]),
        ({"container": True, "units": TIMESYNCD}, ["time"]),
        ({"units": {"systemd-timesyncd": {"LoadState": "masked"}}}, ["time"]),
        (
            {"units": {"chronyd": {"LoadState": "loaded", "ActiveState": "active"}}, "chrony_conf_d": False},
            ["ntp-servers"],
        ),
    ],
)
def test_a_clock_that_nothing_synchronizes_is_reported(facts: dict[str, Any], found: list[str]) -> None:
    made = plan.make(replace(FACTS, **facts), wanted(time_sync=True, ntp_servers=["a"]))
    assert (ids(made), made["commands"]) == (found, [])


# --- firewall ---


def chain(name: str, policy: str, family: str = "inet", hook: str = "input") -> dict[str, Any]:
    return {"chain": {"family": family, "table": "t", "name": name, "type": "filter", "hook": hook, "policy": policy}}


def rule(where: str, *expressions: dict[str, Any], family: str = "inet", **more: Any) -> dict[str, Any]:
    return {"rule": {"family": family, "table": "t", "chain": where, "expr": list(expressions), "handle": 7, **more}}


def ruleset(*items: dict[str, Any]) -> str:
    return json.dumps({"nftables": [{"metainfo": {"version": "1.1.3"}}, *items]})


OURS = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.0.0.2"}}


def test_chains_that_can_refuse() -> None:
    text = ruleset(
        chain("dropping", "drop"),
        chain("open", "accept"),
        chain("rejecting", "accept"),
        chain("through", "drop", hook="forward"),
        rule("rejecting", {"reject": None}),
    )
    chains, ours = firewall.parse_ruleset(text)
    assert [one.name for one in chains] == ["dropping", "rejecting"]
    assert ours == []
    assert firewall.parse_ruleset("no json") == ([], [])


def test_peers_come_and_go() -> None:
    closed = ruleset(chain("in", "drop"))
    facts = replace(FACTS, ruleset=closed)
    made = plan.make(facts, wanted(firewall_peers=["10.0.0.2", "fd00::2"]))
    assert text(made, firewall.NFT_FILE) == (
        'insert rule inet t in ip saddr 10.0.0.2 accept comment "fullrank"\n'
        'insert rule inet t in ip6 saddr fd00::2 accept comment "fullrank"\n'
    )
    unit = firewall.NFT_UNIT
    assert made["commands"] == [["systemctl", "restart", unit], ["systemctl", "enable", "--quiet", unit]]
    there = ruleset(chain("in", "drop"), rule("in", OURS, {"accept": None}, comment="fullrank"))
    on = {unit: {"UnitFileState": "enabled"}}
    assert plan.make(replace(FACTS, ruleset=there, units=on), wanted(firewall_peers=["10.0.0.2"]))["commands"] == []
    gone = plan.make(replace(FACTS, ruleset=there, units=on), wanted())
    assert gone["commands"] == [
        ["nft", "delete", "rule", "inet", "t", "in", "handle", "7"],
        ["systemctl", "disable", "--quiet", "--now", unit],
    ]


def test_no_firewall_no_opening() -> None:
    made = plan.make(replace(FACTS, ruleset=ruleset(chain("in", "accept"))), wanted(firewall_peers=["10.0.0.2"]))
    assert (made["commands"], made["values"]) == ([], {})


def test_ufw() -> None:
    status = (
        "Status: active\n\nTo                         Action      From\n--                         ------      ----\n"
        "22/tcp                     ALLOW       Anywhere\n"
        "Anywhere                   ALLOW       10.0.0.2                   # fullrank\n"
        "Anywhere                   ALLOW       10.0.0.9\n"
    )
    assert firewall.parse_ufw(status) == (True, {"10.0.0.2"})
    made = plan.make(replace(FACTS, ufw=status), wanted(firewall_peers=["10.0.0.3"]))
    assert made["commands"] == [
        ["ufw", "insert", "1", "allow", "from", "10.0.0.3", "comment", "fullrank"],
        ["ufw", "delete", "allow", "from", "10.0.0.2"],
    ]
    assert firewall.parse_ufw("Status: inactive\n") == (False, set())


def test_firewalld_keeps_what_was_trusted_before_us() -> None:
    facts = replace(FACTS, firewalld=("10.0.0.9",))
    made = plan.make(facts, wanted(firewall_peers=["10.0.0.2", "10.0.0.9"]))
    assert [words[2:] for words in made["commands"]] == [
        ["--permanent", "--zone=trusted", "--add-source=10.0.0.2"],
        ["--zone=trusted", "--add-source=10.0.0.2"],
    ]
    after = replace(FACTS, firewalld=("10.0.0.9", "10.0.0.2"), first=made["first"])
    assert [words[-1] for words in plan.unmake(after)["commands"]] == ["--remove-source=10.0.0.2"] * 2
