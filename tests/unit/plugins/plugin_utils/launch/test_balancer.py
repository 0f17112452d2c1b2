# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command of smg behind a router."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.balancer import balancer

PROGRAM = {"smg_version": "1.13.0", "smg_venv": "/opt/fullrank-smg"}


def launch(**args: Any) -> dict[str, Any]:
    return balancer({"name": "tiny", "balancer": {"port": 18080, "args": args}}, PROGRAM)


def value(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_smg_is_reached_on_loopback_only_and_sends_nothing_again() -> None:
    argv = launch()["argv"]
    assert argv[0].startswith("/opt/fullrank-smg/bin/")
    assert (value(argv, "--host"), value(argv, "--port")) == ("127.0.0.1", "18080")
    assert (value(argv, "--prometheus-host"), value(argv, "--prometheus-port")) == ("127.0.0.1", "18081")
    assert {"--disable-retries", "--disable-circuit-breaker"} <= set(argv)


def test_an_option_of_the_user_wins_and_a_wrong_one_is_found_under_its_variable() -> None:
    assert value(launch(log_level="info")["argv"], "--log-level") == "info"
    (finding,) = launch(no_such_option=1)["findings"]
    assert finding["severity"] == "fail"
    assert finding["where"] == "router_smg_args.no_such_option"
