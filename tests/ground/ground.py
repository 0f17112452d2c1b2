#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test ground: N nodes with real systemd, apt and ssh on one Linux machine, as root, without images from anywhere.

    ground.py up N [--bind-ro SOURCE:TARGET ...]   make them (or what is missing of them) and wait until ssh answers
    ground.py list                                  name, address, state, link
    ground.py exec NODE COMMAND...                  run a command by ssh
    ground.py rate NODE 200mbit|off                 limit a node's link, both directions
    ground.py cut NODE / heal NODE                  take a node's link down / up
    ground.py down                                  end every process, remove every trace; always safe

Settings by environment: GROUND_SUITE (trixie), GROUND_MIRROR, GROUND_NAME (fr), GROUND_NET (10.77.0), GROUND_STATE.
README.md beside this file explains the odd steps.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import base

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("GROUND_STATE", HERE.parents[1] / ".cache/ground")).resolve()
NAME = os.environ.get("GROUND_NAME", "fr")
NET = os.environ.get("GROUND_NET", "10.77.0")
SUITE = os.environ.get("GROUND_SUITE", "trixie")
NODES = STATE / NAME
KEY = STATE / "id_ed25519"
SSH = f"ssh -i {KEY} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=5".split()
BRIDGE, UPLINK = "br0", "tap0"
MOST_NODES = 32
BOOT_LIMIT_S = 90
CAP_SYS_RESOURCE = 24  # linux/capability.h


def show(text: str) -> None:
    print(f"-- {text}", flush=True)


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run quietly; a failure names the command and shows its output."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done


def in_ground(*command: str) -> None:
    """Run a command in the ground's own network namespace, which holds the bridge and the way out."""
    run("ip", "netns", "exec", NAME, *command)


def address(index: int) -> str:
    return f"{NET}.{10 + index}"


def node_index(node: str) -> int:
    known = existing_nodes()
    if node not in known:
        raise SystemExit(
            f"there is no node {node}: {'known are ' + ', '.join(known) if known else 'the ground is down'}"
        )
    return int(node[1:])


def namespace(node: str) -> str:
    return f"{NAME}-{node}"


def existing_nodes() -> list[str]:
    found = [p.name for p in NODES.glob("n*") if re.fullmatch(r"n\d+", p.name)]
    return sorted(found, key=lambda n: int(n[1:]))


def cgroup_root() -> Path:
    """Where this machine mounts cgroup v2 (alone, or beside v1); the ground keeps one folder there."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target) / f"fullrank-ground-{NAME}"
    raise SystemExit("this machine mounts no cgroup v2: the nodes' systemd cannot run")


def may_raise_limits() -> bool:
    """Whether a node can have CAP_SYS_RESOURCE: it gets no capability that this process cannot have."""
    bounding = re.search(r"^CapBnd:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bounding is not None and bool(int(bounding[1], 16) >> CAP_SYS_RESOURCE & 1)


def populated(cgroup: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return "populated 1" in (cgroup / "cgroup.events").read_text()
    return False


@contextlib.contextmanager
def one_at_a_time(what: str = NAME) -> Iterator[None]:
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_cgroup(cgroup: Path, *command: str, log: Path, env: dict[str, str] | None = None) -> None:
    """Start a process that lives on, inside ``cgroup``: `down` finds and ends it there, whatever became of us."""
    cgroup.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        subprocess.Popen(
            ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(cgroup), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )


def network_up() -> None:
    """A namespace of our own with a bridge, forwarding and NAT: no sysctl, route or firewall rule of the machine changes.

    The machine gets one interface (to reach the nodes); the nodes reach the package mirror through slirp4netns, an
    unprivileged user-space NAT.
    """
    link = f"{NAME}-ground"
    if not Path(f"/run/netns/{NAME}").exists():
        run("ip", "netns", "add", NAME)
    if run("ip", "link", "show", link, check=False).returncode:
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", NAME)
        run("ip", "addr", "add", f"{NET}.1/24", "dev", link)
        run("ip", "link", "set", link, "up")
        for step in (
            f"ip link add {BRIDGE} type bridge",
            f"ip addr add {NET}.2/24 dev {BRIDGE}",
            f"ip link set uplink master {BRIDGE} up",
            f"ip link set {BRIDGE} up",
            "ip link set lo up",
            "sysctl -q -w net.ipv4.ip_forward=1",
            "nft add table ip ground",
            "nft add chain ip ground out { type nat hook postrouting priority 100 ; }",
            f"nft add rule ip ground out oifname {UPLINK} masquerade",
        ):
            in_ground(*step.split())
    way_out = cgroup_root() / "way-out"
    if not populated(way_out):
        # host loopback stays closed to the nodes
        options = ["--configure", "--disable-host-loopback", "--netns-type=path", f"/run/netns/{NAME}", UPLINK]
        in_cgroup(way_out, "slirp4netns", *options, log=NODES / "way-out.log")


def hosts_file() -> str:
    lines = ["127.0.0.1 localhost", *(f"{address(i)} n{i}" for i in range(1, MOST_NODES + 1))]
    return "\n".join(lines) + "\n"


def node_up(index: int, root: Path, binds: list[str]) -> None:
    node = f"n{index}"
    folder, cgroup = NODES / node, cgroup_root() / node
    if populated(cgroup):
        return
    ns = namespace(node)
    for sub in ("upper/etc", "work", "root", "docker", "containerd", "data"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    if not may_raise_limits():
        programs = folder / "upper/usr/local/sbin"  # first in the PATH of services
        programs.mkdir(parents=True, exist_ok=True)
        for runtime in ("runc", "crun"):
            shutil.copy(HERE / "oci-runtime", programs / runtime)
    (folder / "upper/etc/hostname").write_text(f"{node}\n")
    (folder / "upper/etc/hosts").write_text(hosts_file())
    (folder / "upper/etc/resolv.conf").write_text("nameserver 10.0.2.3\n")  # slirp4netns forwards to the machine's own
    if not Path(f"/run/netns/{ns}").exists():
        run("ip", "netns", "add", ns)
        in_ground(*f"ip link add {node} type veth peer name eth0".split())
        in_ground("ip", "link", "set", "eth0", "netns", ns)
        in_ground(*f"ip link set {node} master {BRIDGE} up".split())
        run("ip", "-n", ns, "link", "set", "lo", "up")
        run("ip", "-n", ns, "addr", "add", f"{address(index)}/24", "dev", "eth0")
        run("ip", "-n", ns, "link", "set", "eth0", "up")
        run("ip", "-n", ns, "route", "add", "default", "via", f"{NET}.2")
    env = {
        "NODE": ns,
        "HOSTNAME_": node,
        "BASE": str(root),
        "DIR": str(folder),
        "CGROUP": str(cgroup),
        "BINDS": " ".join(binds),
    }
    # the network namespace first: /sys is mounted from inside it
    enter = ["nsenter", f"--net=/run/netns/{ns}", "unshare", "--mount", "--propagation", "private"]
    in_cgroup(cgroup, *enter, str(HERE / "node-boot"), log=folder / "console.log", env=env)


def ssh_answers(index: int) -> bool:
    return run(*SSH, f"root@{address(index)}", "true", check=False).returncode == 0


def base_of_all() -> Path:
    """The base file system; it and the key belong to all grounds of this folder, which may come up at the same time."""
    with one_at_a_time("base"):
        if not KEY.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test-ground", "-f", str(KEY))
        own = os.environ.get("GROUND_MIRROR")
        mirror = base.Mirror(own, f"{own}-security") if own else base.machine_mirror()
        root = base.ensure(SUITE, mirror, KEY.with_suffix(".pub").read_text(), STATE / "base")
        if not any(STATE.glob("*/n[0-9]*")):
            base.remove_outdated(STATE / "base", root)
    return root


def up(count: int, binds: list[str]) -> None:
    if not 1 <= count <= MOST_NODES:
        raise SystemExit(f"1 to {MOST_NODES} nodes, not {count}")
    with one_at_a_time():
        NODES.mkdir(parents=True, exist_ok=True)
        root = base_of_all()
        network_up()
        for index in range(1, count + 1):
            node_up(index, root, binds)
        wait_for_ssh(count)
    show(f"{count} nodes of {SUITE} are up: {', '.join(f'n{i} {address(i)}' for i in range(1, count + 1))}")


def wait_for_ssh(count: int) -> None:
    started = shown = time.monotonic()
    waiting = list(range(1, count + 1))
    while waiting := [i for i in waiting if not ssh_answers(i)]:
        now = time.monotonic()
        if now - started > BOOT_LIMIT_S:
            logs = ", ".join(str(NODES / f"n{i}/console.log") for i in waiting)
            raise SystemExit(f"no ssh after {BOOT_LIMIT_S} s; the consoles: {logs}")
        if now - shown > 4:
            shown = now
            show(f"waiting for ssh of {', '.join(f'n{i}' for i in waiting)} ({now - started:.0f} s)")
        time.sleep(0.2)


def down() -> None:
    """Works from names alone, not from anything remembered: also right after a crash, twice, or with half a ground."""
    with one_at_a_time():
        cgroup = cgroup_root()
        if cgroup.exists():
            kill_all(cgroup)
        for ns in sorted(Path("/run/netns").glob(f"{NAME}*"), reverse=True):
            if ns.name == NAME or re.fullmatch(rf"{re.escape(NAME)}-n\d+", ns.name):
                run("ip", "netns", "del", ns.name)  # takes its interfaces along
        run("ip", "link", "del", f"{NAME}-ground", check=False)
        if NODES.exists():
            shutil.rmtree(NODES)
    (STATE / f"{NAME}.lock").unlink(missing_ok=True)
    show("the ground is down")


def kill_all(cgroup: Path) -> None:
    """End every process below the cgroup, and only these, then remove it."""
    if (cgroup / "cgroup.kill").exists():  # Linux 5.14
        (cgroup / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + 10
    while populated(cgroup) and time.monotonic() < deadline:
        for procs in cgroup.rglob("cgroup.procs"):
            for pid in procs.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)
    for folder in sorted((p for p in cgroup.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        folder.rmdir()
    cgroup.rmdir()


def list_nodes() -> None:
    nodes = existing_nodes()
    if not nodes:
        show("the ground is down: `up N` makes nodes")
        return
    print(f"{'NODE':<6}{'ADDRESS':<14}{'STATE':<12}LINK")
    for node in nodes:
        if not populated(cgroup_root() / node):
            state = "off"
        else:
            done = run(*SSH, f"root@{address(node_index(node))}", "systemctl", "is-system-running", check=False)
            state = done.stdout.strip() or "unreachable"
        link = run("ip", "-n", NAME, "-o", "link", "show", node, check=False).stdout
        queue = re.search(r"rate (\S+)", run("tc", "-n", NAME, "qdisc", "show", "dev", node, check=False).stdout)
        shown = "cut" if "state DOWN" in link else (queue[1] if queue else "up")
        print(f"{node:<6}{address(node_index(node)):<14}{state:<12}{shown}")


def rate(node: str, limit: str) -> None:
    node_index(node)
    # both ends, so that what leaves and what arrives is limited; the burst lets tbf reach several Gbit/s
    for ns, device in ((NAME, node), (namespace(node), "eth0")):
        if limit == "off":
            run("tc", "-n", ns, "qdisc", "del", "dev", device, "root", check=False)
        else:
            run(*f"tc -n {ns} qdisc replace dev {device} root tbf rate {limit} burst 1mb latency 50ms".split())


def link_state(node: str, state: str) -> None:
    node_index(node)
    in_ground("ip", "link", "set", node, state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("up")
    verb.add_argument("count", type=int, metavar="N")
    verb.add_argument("--bind-ro", action="append", default=[], metavar="SOURCE:TARGET")
    verbs.add_parser("down")
    verbs.add_parser("list")
    verb = verbs.add_parser("rate")
    verb.add_argument("node")
    verb.add_argument("limit")
    for name in ("cut", "heal"):
        verbs.add_parser(name).add_argument("node")
    verb = verbs.add_parser("exec")
    verb.add_argument("node")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("the ground makes namespaces and cgroups: run it as root")
    match arguments.verb:
        case "up":
            up(arguments.count, arguments.bind_ro)
        case "down":
            down()
        case "list":
            list_nodes()
        case "rate":
            rate(arguments.node, arguments.limit)
        case "cut" | "heal":
            link_state(arguments.node, "down" if arguments.verb == "cut" else "up")
        case "exec":
            target = f"root@{address(node_index(arguments.node))}"
            os.execvp(SSH[0], [*SSH, target, *arguments.command])


if __name__ == "__main__":
    main()
