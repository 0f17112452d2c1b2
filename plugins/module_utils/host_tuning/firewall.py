# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Openings for the other ranks: rules of nftables, ufw and firewalld, from what they list and the wanted addresses. Pure.

Ranks talk over ports that the kernel chooses, so addresses are let in and not ports.

PRIVATE to this collection.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening

MARK = "fullrank"
NFT_FILE = "/etc/fullrank/firewall.nft"
NFT_UNIT = "host-tuning-firewall.service"
UNIT_FILE = f"/etc/systemd/system/{NFT_UNIT}"


class Chain(NamedTuple):
    """A base chain of nftables that hooks into what comes in."""

    family: str
    table: str
    name: str


class Rule(NamedTuple):
    """A rule of ours."""

    chain: Chain
    address: str
    handle: int


def parse_ruleset(text: str) -> tuple[list[Chain], list[Rule]]:
    """``nft -j list ruleset`` → base chains of hook input that can refuse a packet, and our rules (libnftables-json(5)).

    A chain can refuse by its policy, or by a rule of its own that drops or rejects; chains that it jumps to are not followed.
    """
    try:
        items = json.loads(text or "{}").get("nftables", [])
    except (ValueError, AttributeError):
        return [], []
    base = {
        _chain(item["chain"], "name"): item["chain"] for item in items if item.get("chain", {}).get("hook") == "input"
    }
    refusing = {chain for chain, one in base.items() if one.get("type") == "filter" and one.get("policy") == "drop"}
    ours = []
    for item in items:
        rule = item.get("rule")
        if not rule or _chain(rule, "chain") not in base:
            continue
        chain, words = _chain(rule, "chain"), rule.get("expr", [])
        if rule.get("comment") == MARK:
            address = next((word["match"]["right"] for word in words if "match" in word), "")
            ours.append(Rule(chain, str(address), int(rule["handle"])))
        elif base[chain].get("type") == "filter" and any({"drop", "reject"} & set(word) for word in words):
            refusing.add(chain)
    return sorted(refusing | {rule.chain for rule in ours}), ours


def _chain(item: dict[str, Any], name: str) -> Chain:
    return Chain(item["family"], item["table"], item[name])


def nft_lines(chains: Iterable[Chain], addresses: Iterable[str]) -> list[str]:
    """One line of nft(8) for each chain and address that fits its family, before the rules that are there."""
    listed = list(addresses)
    return [
        f'insert rule {chain.family} {chain.table} {chain.name} {_word(address)} saddr {address} accept comment "{MARK}"'
        for chain in chains
        for address in listed
        if chain.family in ("inet", _word(address))
    ]


def _word(address: str) -> str:
    return "ip" if ipaddress.ip_address(address).version == 4 else "ip6"


def nft_unit() -> str:
    """Rules are in the user's own tables, which the unit of nftables empties and fills again: ours follows it."""
    limits = [
        *hardening.lines(capabilities=["CAP_NET_ADMIN"], families=["AF_NETLINK"]),
        "ProtectSystem=strict",
        "ProtectHome=yes",
    ]
    return (
        "[Unit]\nDescription=Let the other ranks in\nAfter=nftables.service\nPartOf=nftables.service\n\n"
        f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft -f {NFT_FILE}\n"
        + "".join(f"{line}\n" for line in limits)
        + "\n"
        "[Install]\nWantedBy=multi-user.target nftables.service\n"
    )


def nft_commands(chains: list[Chain], rules: list[Rule], addresses: list[str], enabled: bool) -> list[list[str]]:
    """From the rules that are there to those that are wanted; the file of lines is in place already."""
    wanted = {(chain, address) for chain in chains for address in addresses if chain.family in ("inet", _word(address))}
    stale = [rule for rule in rules if (rule.chain, rule.address) not in wanted]
    commands = [["nft", "delete", "rule", *rule.chain, "handle", str(rule.handle)] for rule in stale]
    if wanted - {(rule.chain, rule.address) for rule in rules}:
        again = [rule for rule in rules if rule not in stale]
        commands += [["nft", "delete", "rule", *rule.chain, "handle", str(rule.handle)] for rule in again]
        commands.append(["systemctl", "restart", NFT_UNIT])
    if wanted and not enabled:
        commands.append(["systemctl", "enable", "--quiet", NFT_UNIT])
    if not wanted and enabled:
        commands.append(["systemctl", "disable", "--quiet", "--now", NFT_UNIT])
    return commands


def parse_ufw(text: str) -> tuple[bool, set[str]]:
    """``ufw status`` → whether it is active, and the addresses that rules of ours let in."""
    rows = re.findall(rf"^Anywhere(?: \(v6\))?\s+ALLOW(?: IN)?\s+(\S+)\s+# {MARK}\s*$", text, re.MULTILINE)
    return bool(re.search(r"^Status: active", text, re.MULTILINE)), set(rows)


def ufw_commands(there: set[str], addresses: list[str]) -> list[list[str]]:
    add = [["ufw", "insert", "1", "allow", "from", one, "comment", MARK] for one in addresses if one not in there]
    return [*add, *(["ufw", "delete", "allow", "from", one] for one in sorted(there - set(addresses)))]


def firewalld_commands(there: set[str], addresses: list[str], ours: set[str]) -> list[list[str]]:
    """Sources of the zone ``trusted``; of those that are there, only what we added before may be taken away."""
    changes = [("--add-source", one) for one in addresses if one not in there]
    changes += [("--remove-source", one) for one in sorted((there & ours) - set(addresses))]
    return [
        ["firewall-cmd", "--quiet", *permanent, "--zone=trusted", f"{verb}={one}"]
        for verb, one in changes
        for permanent in (["--permanent"], [])
    ]
