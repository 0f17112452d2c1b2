# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: rendezvous interface, MTU, ports, the way to every other rank, RDMA ports.

Each function takes the node, its network facts and what is wanted (the module's options) and answers with checks.

PRIVATE to this collection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    Finding,
    failed,
    passed,
    skipped,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import CommandResult, Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

CONNECT_TIMEOUT_S = 3.0
_HEADERS = {4: 28, 6: 48}  # IP and ICMP headers in bytes, which ping's -s does not count


def interface_of(facts: dict[str, Any], address: str | None) -> dict[str, Any] | None:
    """The interface that has the address."""
    for netdev in facts["netdevs"]:
        if any(entry.split("/")[0] == address for entry in netdev["addresses"]):
            found: dict[str, Any] = netdev
            return found
    return None


def check_interface(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """The rendezvous address is on an interface that is up, the wanted one, with the wanted MTU."""
    code, address = "interface", wanted["address"]
    if not address:
        return [skipped(code, "address", "no rendezvous address was given")]
    netdev = interface_of(facts, address)
    if netdev is None:
        message = f"no interface has the address {address}"
        if facts["problems"]:
            return [skipped(code, address, "; ".join(facts["problems"]))]
        known = {entry["name"]: entry["addresses"] for entry in facts["netdevs"] if entry["addresses"]}
        remedy = f"correct the address of this host; its interfaces have {json.dumps(known)}"
        return [failed(code, address, message, remedy)]
    name, mtu = netdev["name"], netdev["mtu"]
    data = {"interface": name, "mtu": mtu, "speed_mbps": netdev["speed_mbps"]}
    checks = []
    if wanted["interface"] and wanted["interface"] != name:
        message = f"{address} is on {name}, not on {wanted['interface']}"
        checks.append(failed(code, address, message, "correct the interface's name or the address", **data))
    elif netdev["operstate"] == "down" or not netdev["carrier"]:
        message = f"{name} is {netdev['operstate']}, carrier {'on' if netdev['carrier'] else 'off'}"
        checks.append(failed(code, name, message, "look at the cable and the switch port", **data))
    elif netdev["kind"] == "bridge":
        message = f"{address} is on the bridge {name}"
        checks.append(
            warned(code, name, message, "name the interface between the machines, unless it is the bridge", **data)
        )
    else:
        checks.append(passed(code, name, f"{address}, MTU {mtu}", **data))
    if wanted["mtu"] and mtu != wanted["mtu"]:
        message, remedy = (
            f"MTU {mtu}, {wanted['mtu']} is wanted",
            f"ip link set {name} mtu {wanted['mtu']}, and for good",
        )
        checks.append(failed("mtu", name, message, remedy, mtu=mtu))
    return checks


def check_ports(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """Ports that the ranks will listen on are free, or held by a unit of ours; and no client will be given them."""
    listening = listeners.listeners(host)
    ephemeral = [int(part) for part in (host.read("/proc/sys/net/ipv4/ip_local_port_range") or "").split()]
    reserved = _ranges(host.read("/proc/sys/net/ipv4/ip_local_reserved_ports") or "")
    checks = []
    for entry in wanted["ports"]:
        port, purpose = entry["port"], entry["purpose"]
        where, data = f"port {port}", {"port": port, "purpose": purpose}
        taken = next((socket for socket in listening if _collides(socket, port, wanted["address"])), None)
        owner = listeners.of_socket(host, taken.inode) if taken else None
        if taken and owner and owner.is_one_of(wanted["own"]):
            checks.append(passed("port-free", where, f"{purpose}: held by our own {owner}", **data))
        elif taken:
            message = f"{purpose}: taken by {owner or 'a process that is not visible here'}"
            remedy = _to_free(owner)
            checks.append(failed("port-free", where, message, remedy, owner=str(owner or ""), **data))
        elif len(ephemeral) == 2 and ephemeral[0] <= port <= ephemeral[1] and not _within(port, reserved):
            message = f"{purpose}: free now, but the kernel gives ports {ephemeral[0]}-{ephemeral[1]} to clients"
            remedy = f"choose a port below {ephemeral[0]}, or add it to net.ipv4.ip_local_reserved_ports"
            checks.append(warned("port-free", where, message, remedy, **data))
        else:
            checks.append(passed("port-free", where, f"{purpose}: free", **data))
    return checks or [skipped("port-free", "ports", "no ports were given")]


def _to_free(owner: listeners.Owner | None) -> str:
    """What to do about the owner of a port: one of ours is no process to be killed, its supervisor would start it again."""
    held = (owner.container, owner.unit) if owner else ()
    name = next((found for one in held if one and (found := names.deployment_of(one))), "")
    if not name:
        return "stop it, or set another port for the deployment"
    return (
        f"it belongs to deployment {name}: set another port for one of the two; "
        f"where {name} is not in this inventory, run playbooks/remove.yml -e deployment={name}"
    )


def _collides(socket: listeners.Listener, port: int, address: str | None) -> bool:
    """Engines listen on all addresses or on the rendezvous address: a listener on loopback only is no obstacle then."""
    if socket.port != port:
        return False
    return not (address and socket.address.startswith("127.") and not address.startswith("127."))


def _ranges(text: str) -> list[tuple[int, int]]:
    found = []
    for part in text.split(","):
        first, _unused, last = part.strip().partition("-")
        if first.isdigit():
            found.append((int(first), int(last) if last.isdigit() else int(first)))
    return found


def _within(port: int, ranges: list[tuple[int, int]]) -> bool:
    return any(first <= port <= last for first, last in ranges)


def check_peers(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """Every other rank, from this one: the way out, TCP to its ports, packets of full size.

    Nothing needs to listen there yet: a refusal comes from the peer itself, so nothing on the way dropped the packet.
    """
    peers, source = wanted["peers"], wanted["address"]
    if not peers:
        return [skipped("reach", "peers", "no other ranks")]
    netdev = interface_of(facts, source)
    targets = [(peer["address"], port) for peer in peers for port in peer["ports"]]
    met = dict(zip(targets, host.connect_all(targets, source, CONNECT_TIMEOUT_S)))  # noqa: B905
    routes = host.run_all([("ip", "-json", "route", "get", peer["address"]) for peer in peers])
    pings = host.run_all(
        [ping for peer in peers for ping in _pings(peer["address"], netdev["mtu"] if netdev else None)]
    )
    checks = []
    for index, peer in enumerate(peers):
        answers = {port: met[(peer["address"], port)] for port in peer["ports"]}
        checks.append(_reach(peer, answers))
        checks.append(_route(peer, routes[index], netdev["name"] if netdev else None))
        checks.append(_path_mtu(peer, pings[2 * index], pings[2 * index + 1], netdev["mtu"] if netdev else None))
    return checks


def _reach(peer: dict[str, Any], answers: dict[int, str | None]) -> Finding:
    code, where = "reach", f"{peer['name']} ({peer['address']})"
    data = {
        "peer": peer["name"],
        "address": peer["address"],
        "ports": {str(port): met for port, met in answers.items()},
    }
    if not answers or all(met is None for met in answers.values()):
        return skipped(code, where, "not tried", **data)
    bad = {port: met for port, met in answers.items() if met not in ("open", "refused", None)}
    if not bad:
        return passed(code, where, f"answers on {_words(answers)}", **data)
    if len(bad) < len(answers):
        message = f"{_words(bad)}, although other ports answer"
        return failed(
            code, where, message, "open these ports, and all ephemeral ones, between the ranks' firewalls", **data
        )
    remedy = "check the link, the route and the firewalls between these two machines, in both directions"
    return failed(code, where, f"does not answer: {_words(bad)}", remedy, **data)


def _words(answers: Mapping[int, str | None]) -> str:
    return ", ".join(f"{port}: {met}" for port, met in answers.items())


def _route(peer: dict[str, Any], result: CommandResult | None, interface: str | None) -> Finding:
    code, where, data = "route", f"{peer['name']} ({peer['address']})", {"peer": peer["name"]}
    if result is None or interface is None:
        why = "ip is not installed" if result is None else "the rendezvous interface is not known"
        return skipped(code, where, why, **data)
    try:
        device = json.loads(result.stdout)[0]["dev"] if result.rc == 0 else None
    except (ValueError, LookupError, TypeError):
        device = None
    if device is None:
        return failed(code, where, f"no route: {result.message}", "add a route, or correct the peer's address", **data)
    if device not in (interface, "lo"):
        message = f"the way to it leaves by {device}, not by {interface}"
        remedy = f"add a route by {interface}, or use addresses of the network of {device} as rendezvous addresses"
        return failed(code, where, message, remedy, device=device, **data)
    return passed(code, where, f"by {device}", device=device, **data)


def _pings(address: str, mtu: int | None) -> list[list[str]]:
    """A small one and one that fills the MTU and must not be fragmented."""
    payload = (mtu or 1500) - _HEADERS[6 if ":" in address else 4]
    ping = ["ping", "-n", "-q", "-c", "1", "-W", "2"]
    return [[*ping, "-s", "56", address], [*ping, "-M", "do", "-s", str(payload), address]]


def _path_mtu(
    peer: dict[str, Any], small: CommandResult | None, full: CommandResult | None, mtu: int | None
) -> Finding:
    code, where, data = "path-mtu", f"{peer['name']} ({peer['address']})", {"peer": peer["name"], "mtu": mtu}
    if small is None or full is None or mtu is None:
        return skipped(code, where, "ping is not installed" if mtu else "the MTU is not known", **data)
    if small.rc != 0:
        return skipped(code, where, "ping gets no answer (filtered?)", **data)
    if full.rc != 0:
        message = f"packets of {mtu} bytes do not arrive, small ones do: transfers will hang"
        remedy = "set one MTU on both machines and at least that on every switch port between them"
        return failed(code, where, message, remedy, **data)
    return passed(code, where, f"packets of {mtu} bytes arrive", **data)


def check_rdma(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """RDMA is asked for, so there must be ports that are up."""
    code, where = "rdma-ports", "/sys/class/infiniband"
    if not wanted["rdma"]:
        return [skipped(code, where, "no RDMA is asked for")]
    usable = [hca for hca in facts["hcas"] if not hca["nvswitch_management"]]
    up = [f"{hca['name']}:{port['port']}" for hca in usable for port in hca["ports"] if port["state"] == "ACTIVE"]
    down = [f"{hca['name']}:{port['port']}" for hca in usable for port in hca["ports"] if port["state"] != "ACTIVE"]
    if not usable:
        remedy = "load the drivers (modprobe mlx5_ib), install OFED, or turn RDMA off for the deployment"
        return [failed(code, where, "no RDMA devices", remedy)]
    if not up:
        remedy = "check cables and switch ports; on InfiniBand the subnet manager"
        return [failed(code, where, f"no port is ACTIVE: {', '.join(down)}", remedy, down=down)]
    return [passed(code, where, f"{len(up)} ports ACTIVE, {len(down)} not", up=up, down=down)]
