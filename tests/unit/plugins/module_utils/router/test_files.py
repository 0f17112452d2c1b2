# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a router on its node."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from router_samples import ROUTE, SMG


def test_the_files_of_a_route() -> None:
    texts = files.files(ROUTE)
    assert set(texts) == {
        "/etc/systemd/system/fullrank-router@tiny.service",
        "/etc/fullrank/router/tiny.json",
        "/etc/fullrank/router/tiny.nginx.conf",
    }
    conf = texts["/etc/fullrank/router/tiny.nginx.conf"]
    assert conf.count("{") == conf.count("}")
    for line in ("listen 0.0.0.0:8080;", "proxy_buffering off;", "proxy_read_timeout 3600s;", "location / {"):
        assert line in conf
    assert "CAP_NET_BIND_SERVICE" not in texts["/etc/systemd/system/fullrank-router@tiny.service"]
    assert "CAP_NET_BIND_SERVICE" in files.unit({**ROUTE, "port": 80})
    assert files.digest(ROUTE) != files.digest({**ROUTE, "timeout": 7})
    assert "listen [::]:8080;" in files.nginx({**ROUTE, "host": "::"})


def test_clients_reach_no_path_that_changes_smg() -> None:
    conf = files.nginx({**ROUTE, "balancer": SMG})
    assert "location ~ ^/(generate|health|" in conf and "return 404" in conf
    assert "workers" not in conf and "flush_cache" not in conf


def test_the_program_stands_alone() -> None:
    texts = files.program()
    assert all("ansible" not in text for text in texts.values())
    for path, text in texts.items():
        compile(text, path, "exec")
