# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of one node: applied, found applied, kept over a reboot, and taken back to what was found at first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import reboot
from testinfra.host import Host

PLAYBOOK, REMOVE = "molecule/host_tuning/converge.yml", "molecule/host_tuning/remove.yml"
SYSCTL = "/etc/sysctl.d/90-fullrank.conf"
FILES = (SYSCTL, "/etc/security/limits.d/90-fullrank.conf", "/etc/systemd/system.conf.d/90-fullrank.conf")
RECORD = "/var/lib/fullrank/host_tuning.json"
# what a Debian has after installation, on every node of the ground
AT_FIRST = {"net.core.somaxconn": "4096", "net.ipv4.ip_local_reserved_ports": ""}
WANTED = {"net.core.somaxconn": "8192", "net.ipv4.ip_local_reserved_ports": "29500,40000-40010"}
# the firewall that it shows lets in ssh and an endpoint's ports, 41234 not among them
SECURITY = Path(__file__).resolve().parents[3] / "docs/security.md"


def nothing_to_do(run: Any) -> bool:
    return (run.rc, run.changed) == (0, 0)


def settings(node: Host, keys: dict[str, str]) -> dict[str, str]:
    return {key: node.check_output(f"sysctl -n {key}").strip() for key in keys}


def test_applied_by_converge(node: Host) -> None:
    assert settings(node, WANTED) == WANTED
    text = node.file(SYSCTL).content_string
    assert (
        "# connections that wait for the head to accept them" in text
        and "docs/html/latest/" not in text.splitlines()[-1]
    )
    assert "DefaultLimitNOFILE=4096" in node.check_output("systemctl show --property=DefaultLimitNOFILE")
    assert node.check_output("ulimit -n") == "4096", "a login"


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff")], ids=["run", "check mode"])
def test_nothing_to_do_the_second_time(arguments: tuple[str, ...], play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, *arguments)
    assert (run.rc, run.changed) == (0, 0)


def test_nodes_are_prepared_without_a_deployment(play: Callable[..., Any]) -> None:
    """The playbook of the nodes, on an inventory that knows no deployment yet."""
    assert nothing_to_do(play("playbooks/nodes.yml", nodes_roles=["host_tuning"]))
    refused = play("playbooks/nodes.yml", nodes_roles=["host_tuning"], host_tuning_swp="off")
    assert refused.rc != 0 and "nothing reads host_tuning_swp; write host_tuning_swap" in refused.printed
    assert play("site.yml").rc != 0, "the whole chain needs one"


def test_check_mode_reports_and_changes_nothing(node: Host, play: Callable[..., Any]) -> None:
    """Also what belongs to the machine: nothing of it may be applied on a node of the ground."""
    machine = {"vm.swappiness": "1", "kernel.numa_balancing": "0"}
    before = settings(node, machine)
    wish = {**machine, "net.core.somaxconn": 9000}
    run = play(PLAYBOOK, "--check", "--diff", host_tuning_sysctl=wish, host_tuning_swap="off")
    assert run.rc == 0 and run.changed > 0
    assert "/proc/sys/net/core/somaxconn = 9000" in run.text and "run systemctl mask --quiet swap.target" in run.printed
    assert settings(node, machine) == before
    assert settings(node, WANTED) == WANTED


def test_everything_that_is_wrong_is_reported_at_once(node: Host, play: Callable[..., Any]) -> None:
    before = node.check_output("find /etc /var/lib/fullrank -type f | xargs md5sum | md5sum")
    run = play(
        PLAYBOOK,
        host_tuning_sysctl={"net.core.somaxcon": 1, "net.core.rmem_max": "much", "kernel.panic": 1},
        host_tuning_limits={"memlock": "unlimited"},
        host_tuning_hugepages={"3Mi": 1},
        host_tuning_firewall_peers=["head"],
    )
    assert (run.rc != 0, run.changed) == (True, 0)
    for words in (
        "nothing was changed: 6 findings",
        "host_tuning_sysctl.net.core.somaxcon: is not one of the settings that this role knows; did you mean net.core.somaxconn",
        "'much' is not a value of it",
        "locked memory is set by the role rdma",
        "host_tuning_hugepages.3Mi",
        "'head' is no address",
    ):
        assert words in run.printed
    assert node.check_output("find /etc /var/lib/fullrank -type f | xargs md5sum | md5sum") == before


def test_a_file_that_wins_is_reported_and_left(node: Host, play: Callable[..., Any]) -> None:
    theirs = "/etc/sysctl.d/95-site.conf"
    node.check_output(f"echo 'net.core.somaxconn = 1024' > {theirs}")
    try:
        run = play(PLAYBOOK)
        assert (run.rc, run.changed) == (0, 0)
        assert "net.core.somaxconn = 1024 is read after ours (8192) and wins" in run.printed
        assert node.file(theirs).content_string == "net.core.somaxconn = 1024\n"
    finally:
        node.check_output(f"rm {theirs}")


def test_a_limit_that_would_lock_everybody_out_is_left_alone(node: Host, play: Callable[..., Any]) -> None:
    hard = int(node.check_output("ulimit -Hn"))
    run = play(PLAYBOOK, host_tuning_limits={"nofile": 1 << 30})
    assert run.rc == 0
    assert "logins would be refused" in run.printed
    assert str(1 << 30) not in node.run(f"cat {FILES[1]}").stdout
    assert int(node.check_output("ulimit -Hn")) >= min(hard, 4096)
    assert play(PLAYBOOK).rc == 0


def test_what_is_no_longer_wanted_gets_back_what_it_had(node: Host, play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, host_tuning_sysctl={"net.core.somaxconn": 8192})
    assert run.rc == 0 and run.changed > 0
    assert settings(node, WANTED) == {**WANTED, "net.ipv4.ip_local_reserved_ports": ""}
    assert "reserved_ports" not in node.file(SYSCTL).content_string
    assert play(PLAYBOOK).rc == 0
    assert settings(node, WANTED) == WANTED


@pytest.fixture
def firewall(node: Host) -> Iterator[None]:
    """The user's own ruleset, kept by nftables.service over reboots; somebody who would answer behind it."""
    node.check_output("cp /etc/nftables.conf /root/nftables.conf.save")
    (rules,) = re.findall(r"^```nft\n(.*?)^```", SECURITY.read_text(), re.MULTILINE | re.DOTALL)
    node.check_output("{ echo '#!/usr/sbin/nft -f'; echo %s; } >/etc/nftables.conf", rules)
    node.check_output("systemctl enable --quiet --now nftables && systemctl restart nftables")
    node.check_output("systemd-run --unit=answers --collect python3 -m http.server 41234")
    yield
    node.check_output(
        "cp /root/nftables.conf.save /etc/nftables.conf; systemctl disable --quiet --now nftables; nft flush ruleset; "
        "systemctl stop answers"
    )


def reaches(peer: Host, node: Host) -> bool:
    return peer.run(f"curl --silent --max-time 3 --output /dev/null http://{node.backend.hostname}:41234/").rc == 0


@pytest.mark.usefixtures("firewall")
def test_only_peers_are_let_in(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    node, peer = nodes["n1"], nodes["n2"]
    assert not reaches(peer, node)
    peers = {"host_tuning_firewall_peers": [peer.backend.hostname]}
    run = play(PLAYBOOK, **peers)
    assert run.rc == 0 and run.changed > 0
    assert reaches(peer, node)
    assert nothing_to_do(play(PLAYBOOK, **peers))
    # the user's ruleset is loaded again: ours follows
    node.check_output("systemctl restart nftables")
    assert reaches(peer, node)
    assert nothing_to_do(play(PLAYBOOK, **peers))
    # another one is let in: this one no longer
    other = play(PLAYBOOK, host_tuning_firewall_peers=["192.0.2.1"])
    assert other.rc == 0
    assert not reaches(peer, node)
    closed = play(PLAYBOOK)
    assert closed.rc == 0 and closed.changed > 0
    assert "fullrank" not in node.check_output("nft list ruleset")
    assert nothing_to_do(play(PLAYBOOK))


def test_kept_over_a_reboot(node: Host, play: Callable[..., Any]) -> None:
    """A node of the ground keeps its network over a reboot, so a wrong value is left there that only the file can mend."""
    node.check_output("sysctl -q -w net.core.somaxconn=1")
    reboot(node)
    assert settings(node, WANTED) == WANTED
    assert "DefaultLimitNOFILE=4096" in node.check_output("systemctl show --property=DefaultLimitNOFILE")
    assert nothing_to_do(play(PLAYBOOK))


def test_removed(node: Host, play: Callable[..., Any]) -> None:
    predicted = play(REMOVE, "--check", "--diff")
    assert predicted.rc == 0 and predicted.changed > 0
    assert settings(node, WANTED) == WANTED
    run = play(REMOVE)
    assert run.rc == 0 and run.changed > 0
    assert settings(node, AT_FIRST) == AT_FIRST
    assert not any(node.file(path).exists for path in (*FILES, RECORD))
    assert "DefaultLimitNOFILE=4096" not in node.check_output("systemctl show --property=DefaultLimitNOFILE")
    again = play(REMOVE)
    assert (again.rc, again.changed) == (0, 0)
