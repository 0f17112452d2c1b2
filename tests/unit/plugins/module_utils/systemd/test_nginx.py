# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of nginx: what is common to them, and the configuration of the web chat as nginx itself reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.nginx import configuration
from ansible_collections.fullrank.serving.plugins.modules import service_unit
from places import CHECKOUT

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")


def refused(folder: Path, text: str) -> str:
    """What nginx reports of a configuration that it does not take; empty when it does."""
    (folder / "nginx.conf").write_text(text)
    test = [str(NGINX), "-t", "-q", "-e", "stderr", "-c", str(folder / "nginx.conf")]
    done = subprocess.run(test, check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def web_chat(folder: Path) -> str:
    """The configuration of the web chat's TLS proxy, with its folders in ``folder``."""
    template = CHECKOUT / "roles/webui/templates/etc/fullrank/webui-tls.conf.j2"
    http = jinja2.Template(template.read_text(), keep_trailing_newline=True).render(
        webui_host="127.0.0.1",
        webui_tls_port=18998,
        webui_port=8080,
        webui_max_upload_mib=512,
        webui_client_requests=256,
        webui_client_rate=50,
        __webui_certificate=f"{folder}/x.crt",
        __webui_certificate_key=f"{folder}/x.key",
    )
    text = service_unit.text("fullrank-webui-tls", {"nginx": True, "content": http})
    return text.replace("/var/lib/fullrank-webui-tls", str(folder)).replace("/run/fullrank-webui-tls", str(folder))


def test_an_instance_has_folders_and_a_user_of_its_own() -> None:
    text = configuration(run="/run/x", cache="/var/cache/x", http="    # {rest}\n", user="www-data")
    assert "\nuser www-data;\n" in text and "pid /run/x/nginx.pid;" in text and text.endswith("    # {rest}\n}\n")
    assert text.count(" /var/cache/x/") == 5, (
        "every temporary folder: those of the distribution's nginx are not touched"
    )
    assert "user " not in configuration(run="/run/x", cache="/c", http="")


@pytest.mark.skipif(NGINX is None or shutil.which("openssl") is None, reason="nginx or openssl is not installed")
def test_nginx_takes_the_configuration_of_the_web_chat(tmp_path: Path) -> None:
    key = ["-nodes", "-newkey", "rsa:2048", "-keyout", str(tmp_path / "x.key"), "-out", str(tmp_path / "x.crt")]
    subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=x", "-days", "2"], check=True, capture_output=True)
    assert refused(tmp_path, web_chat(tmp_path)) == ""
    assert "unknown directive" in refused(tmp_path, web_chat(tmp_path).replace("listen ", "listens ")), (
        "the test can fail"
    )
