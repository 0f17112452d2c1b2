# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter as roles use it: what they make of IPv6 addresses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from places import CHECKOUT

ROLES = CHECKOUT / "roles"


def variables(role: str, **own: Any) -> Templar:
    """The role's variables over its defaults, with those of a user."""
    loader = DataLoader()
    known: dict[str, Any] = {"inventory_hostname": "n1"}
    for file in ("defaults/main.yml", "vars/main.yml"):
        known |= loader.load_from_file(str(ROLES / role / file), trusted_as_template=True)
    return Templar(loader=loader, variables={**known, **own})


def line(role: str, template: str, word: str, **own: Any) -> str:
    """The line of a template that has the word."""
    loader = DataLoader()
    text = loader.get_text_file_contents(str(ROLES / role / "templates" / template))
    templar = variables(role, **own)
    (found,) = [one for one in text.splitlines() if word in one]
    return str(templar.template(trust_as_template(found))).strip()


@pytest.mark.parametrize(
    ("listens", "address", "reached"),
    [("::", "[::]", "[::1]"), ("fd00::5", "[fd00::5]", "[fd00::5]"), ("0.0.0.0", "0.0.0.0", "127.0.0.1")],
)
def test_prometheus_listens_and_is_reached(listens: str, address: str, reached: str) -> None:
    own = {"monitoring_prometheus_address": listens, "monitoring_prometheus_port": 9090}
    unit = "etc/systemd/system/fullrank-prometheus.service.j2"
    assert line("monitoring", unit, "listen-address", **own) == f"--web.listen-address={address}:9090"
    assert (
        variables("monitoring", **own).template(trust_as_template("{{ __monitoring_url }}")) == f"http://{reached}:9090"
    )


@pytest.mark.parametrize(
    ("listens", "address", "port", "local", "shown"),
    [
        ("fd00::5", "[fd00::5]:443", 443, "https://[fd00::5]:443", "https://[fd00::5]"),
        ("::", "[::]:8443", 8443, "https://[::1]:8443", "https://[fd00::9]:8443"),
        ("192.0.2.1", "192.0.2.1:443", 443, "https://192.0.2.1:443", "https://192.0.2.1"),
    ],
)
def test_the_web_chat_listens_and_is_reached(listens: str, address: str, port: int, local: str, shown: str) -> None:
    own = {"webui_host": listens, "webui_tls": True, "webui_tls_port": port, "ansible_host": "fd00::9"}
    assert line("webui", "etc/fullrank/webui-tls.conf.j2", " listen ", **own) == f"listen {address} ssl;"
    templar = variables("webui", **own)
    assert [
        templar.template(trust_as_template(f"{{{{ {one} }}}}")) for one in ("__webui_local", "__webui_endpoint")
    ] == [local, shown]
    plain = variables("webui", **own | {"webui_tls": False, "webui_port": 3000})
    assert (
        plain.template(trust_as_template("{{ __webui_endpoint }}"))
        == shown.replace("https", "http").removesuffix(":8443") + ":3000"
    )


@pytest.mark.parametrize(("listens", "url"), [("::", "http://[::1]:8000"), ("fd00::1", "http://[fd00::1]:8000")])
def test_a_head_reaches_its_own_engine(listens: str, url: str) -> None:
    own = {"engine_host": listens, "engine_port": 8000, "deployment_replica_url": "http://x:8000/v1"}
    assert variables("deployment", **own).template(trust_as_template("{{ deployment_local_url }}")) == url
