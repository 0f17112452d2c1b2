# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transient units: one command line, a sandbox unless the work is a container's client, and one reader of their state."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening, transient
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.transient import Sandbox, Unit
from transient_standin import properties

WORK = Unit("u.service", "some work", ["/bin/x", "-c", "a b"], Sandbox(writes=["/srv/m"]))


def test_the_command_comes_last_and_word_by_word() -> None:
    words = transient.start_command(WORK)
    assert words[0] == "systemd-run"
    assert words[words.index("--") + 1 :] == ["/bin/x", "-c", "a b"]
    assert {"--unit=u.service", "--description=some work", "--collect", "--service-type=exec"} < set(words)
    assert "--wait" not in words


def test_what_a_unit_may_do_unless_it_states_more() -> None:
    found = properties(transient.start_command(WORK))
    assert found["ReadWritePaths"] == "/srv/m"
    assert found["CapabilityBoundingSet"] == ""
    assert found["RestrictAddressFamilies"] == "AF_UNIX"
    assert found["SystemCallFilter"] == "@system-service ~@privileged"
    assert "/etc/fullrank" in found["InaccessiblePaths"] and "-/etc/shadow " in found["InaccessiblePaths"]
    assert {name for name, value in found.items() if value == "yes"} >= {
        *("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "PrivateNetwork", "ProtectHome", "ProtectKernelModules"),
        *("ProtectKernelTunables", "RestrictNamespaces", "LockPersonality", "MemoryDenyWriteExecute", "ProtectClock"),
    }
    assert (found["ProtectSystem"], found["ReadOnlyPaths"]) == ("strict", "/run")


def test_what_a_unit_states_is_all_that_it_gets() -> None:
    sandbox = Sandbox(families=hardening.NETWORK, devices=True, generates_code=True, capabilities=["CAP_FOWNER"])
    found = properties(transient.start_command(Unit("u.service", "", ["/bin/x"], sandbox)))
    assert found["CapabilityBoundingSet"] == "CAP_FOWNER"
    assert found["RestrictAddressFamilies"] == "AF_UNIX AF_INET AF_INET6 AF_NETLINK"
    assert not {"PrivateNetwork", "PrivateDevices", "MemoryDenyWriteExecute", "ReadWritePaths", "User"} & set(found)


def test_another_user_gets_a_capability_only_as_an_ambient_one() -> None:
    found = properties(transient.start_command(Unit("u.service", "", ["/bin/x"], Sandbox(user=(61000, 61001)))))
    assert (found["User"], found["Group"], found["CapabilityBoundingSet"]) == ("61000", "61001", "")
    assert "AmbientCapabilities" not in found
    low = Sandbox(user=(61000, 61000), capabilities=["CAP_NET_BIND_SERVICE"])
    assert properties(transient.start_command(Unit("u.service", "", ["/bin/x"], low)))["AmbientCapabilities"] == (
        "CAP_NET_BIND_SERVICE"
    )


@pytest.mark.parametrize(
    ("reads", "writes", "homes"),
    [
        ([], [], "yes"),
        (["/opt/v/bin/python"], ["/srv/m"], "yes"),
        (["/root/v/bin/python"], ["/srv/m"], "read-only"),
        ([], ["/home/ann/models"], "read-only"),
        (["/homework"], [], "yes"),
    ],
)
def test_homes_are_hidden_unless_the_work_is_there(reads: list[str], writes: list[str], homes: str) -> None:
    assert f"ProtectHome={homes}" in Sandbox(reads=reads, writes=writes).properties()


def test_a_path_with_blanks_and_quotes_is_one_path() -> None:
    assert 'ReadWritePaths="/srv/a \\"b\\""' in Sandbox(writes=['/srv/a "b"']).properties()


def test_only_the_client_of_a_container_has_no_sandbox() -> None:
    found = properties(transient.start_command(Unit("u.service", "", ["docker", "run"], None)))
    assert set(found) == {"TimeoutStopSec", "KillMode", "UMask"}


def test_limits_and_the_folder_that_systemd_removes() -> None:
    unit = Unit(
        "u.service",
        "",
        ["/bin/x"],
        None,
        seconds=60,
        memory=1 << 30,
        runtime_directory="/run/fullrank/u",
        attached=True,
    )
    words = transient.start_command(unit)
    found = properties(words)
    assert (found["RuntimeMaxSec"], found["RuntimeDirectory"], found["RuntimeDirectoryMode"]) == (
        *("60", "fullrank/u", "0700"),
    )
    assert {"--wait", "--pipe"} < set(words)
    assert found["MemoryMax"] == str(1 << 30) and "MemoryMax" not in properties(transient.start_command(WORK))


@pytest.mark.parametrize(
    ("active", "runs"),
    [("active", True), ("activating", True), ("deactivating", True), ("inactive", False), ("failed", False)],
)
def test_a_unit_that_ends_still_runs(active: str, runs: bool) -> None:
    assert transient.runs(lambda *_words, **_options: (0, f"ActiveState={active}\n", ""), "u.service") is runs


def test_the_last_lines_are_read_from_the_journal_of_the_unit() -> None:
    commands: list[list[str]] = []

    def run(words: list[str], **_options: object) -> tuple[int, str, str]:
        commands.append(words)
        return 0, "killed\n", ""

    assert transient.last_lines(run, "u.service", 3) == "killed"
    assert {"--unit=u.service", "--lines=3"} < set(commands[0])
