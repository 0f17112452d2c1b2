# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of an nginx instance beside the distribution's: a program, a configuration and folders of its own. Pure;
private to this collection.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import render

# With 8192 connections a worker needs twice as many files: the unit has LimitNOFILE=65536.
_INSTANCE = """\
{user}daemon off;
worker_processes auto;
pid {run}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 8192;
}}
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path {cache}/body;
    proxy_temp_path {cache}/proxy;
    fastcgi_temp_path {cache}/fastcgi;
    uwsgi_temp_path {cache}/uwsgi;
    scgi_temp_path {cache}/scgi;

{http}}}
"""


def configuration(*, run: str, cache: str, http: str, user: str = "") -> str:
    """The whole file. ``run``: folder of the pid file. ``cache``: folder of bodies. ``http``: the rest of the http block,
    whole lines. ``user``: account of the workers, where the master is root; empty where nginx runs without privileges.
    """
    return render(_INSTANCE, user=f"user {user};\n" if user else "", run=run, cache=cache, http=http)
