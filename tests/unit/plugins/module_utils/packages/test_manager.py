# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines for apt and dnf, and what is read from their output."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.packages import manager
from ansible_collections.fullrank.serving.plugins.module_utils.packages.manager import Apt, Dnf, PackageError


def test_what_the_scripts_of_packages_say_is_in_the_message() -> None:
    """apt gives dpkg a terminal of its own, and reports itself only that it failed."""
    answers = {
        "install": (
            100,
            "Setting up d (1)\nError! Bad return status\n",
            "E: Sub-process /usr/bin/dpkg returned an error code (1)",
        )
    }
    apt = Apt(lambda words, **_: answers["install"], 1)
    with pytest.raises(PackageError, match=r"(?s)Bad return status.*returned an error code"):
        apt.install({"d": "1"})


class Commands:
    """Remembers the command lines and answers by their beginning."""

    def __init__(self, answers: dict[str, tuple[int, str, str]] | None = None) -> None:
        self.answers, self.lines = answers or {}, []

    def __call__(self, argv: list[str], **_: Any) -> tuple[int, str, str]:
        self.lines.append(" ".join(argv))
        return next((answer for begin, answer in self.answers.items() if begin in self.lines[-1]), (0, "", ""))


def test_words_for_dnf() -> None:
    listing = "nvidia-open-3:580.95.05-1.el9.*\ndkms-0:3.2.1-1.el9.*\n"
    commands = Commands(
        {"versionlock list": (0, listing, ""), "rpm -qa": (0, "bash|0:5.1-9.el9\nnvidia-open|3:580.95.05-1.el9\n", "")}
    )
    dnf = Dnf(commands, 60)
    assert dnf.held() == {"nvidia-open", "dkms"}
    assert dnf.installed() == {"bash": "5.1-9.el9", "nvidia-open": "3:580.95.05-1.el9"}
    dnf.install({"nvidia-open": "3:580.95.05-1.el9"})
    dnf.hold({"nvidia-open": "3:580.95.05-1.el9"})
    dnf.unhold(["nvidia-open"])
    assert commands.lines[2:] == [
        "dnf -q -y --allowerasing --setopt=install_weak_deps=False install nvidia-open-3:580.95.05-1.el9",
        "dnf -q versionlock add nvidia-open-3:580.95.05-1.el9",
        "dnf -q versionlock delete nvidia-open",
    ]


def test_words_for_apt() -> None:
    commands = Commands({"showhold": (0, "fm\nlibc6:amd64\n", ""), "-y purge": (0, "", "")})
    apt = Apt(commands, 60)
    assert apt.held() == {"fm", "libc6"}
    apt.install({"fm": "580.95-1"})
    assert commands.lines[-1].endswith(
        "--no-install-recommends --allow-downgrades --allow-change-held-packages install fm=580.95-1"
    )
    apt.refresh(["/etc/apt/sources.list.d/x.sources"])
    assert "APT::Update::Error-Mode=any -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/x.sources" in commands.lines[-1]
    failing = Apt(Commands({"apt-get": (100, "", "E: The repository is not signed.\n")}), 60)
    with pytest.raises(PackageError, match="not signed"):
        failing.refresh([])


def test_a_simulation_with_a_removal() -> None:
    text = (
        "Remv nvidia-driver-pinning-580 [580-1]\n"
        "Inst nvidia-utils-580 [580.95.05-1] (580.105.08-1 fullrank tests:flat [all]) []\n"
        "Inst nvlsm (2025.10.14-1 fullrank tests:flat [all])\nConf nvlsm (2025.10.14-1 x [all])\n"
    )
    found = manager.parse_simulation(text)
    assert found.install == {"nvidia-utils-580": "580.105.08-1", "nvlsm": "2025.10.14-1"}
    assert found.remove == ("nvidia-driver-pinning-580",)
