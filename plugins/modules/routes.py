#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``routes``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: routes
version_added: 0.1.0
short_description: What a router routes, by the inventory
description:
  - Reads which deployments this host routes, on which port, and where their replicas answer and tell whether they are ready.
  - Fails, with all findings, for a deployment that there is not, a port that is used twice on this machine, a balancer that does
    not know the engine, options that it does not know, and keys, paths and origins that no request could match.
  - Runs on the controller without a connection and changes nothing.
options:
  host:
    description: Address on which this host routes.
    type: str
    default: 0.0.0.0
  deployments:
    description: Names of the deployments that it routes. All when empty.
    type: list
    elements: str
    default: []
  smg_version:
    description: Version of smg, where a deployment is balanced by it.
    type: str
    required: true
  smg_venv:
    description: Virtual environment of smg on this host.
    type: path
    required: true
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Know what this host routes
  fullrank.serving.routes:
    smg_version: 1.13.0
    smg_venv: /opt/fullrank/smg
  register: found
"""

RETURN = r"""
routes:
  description: >-
    For each deployment name, host and port (where the router listens), url (where clients find it), model, tls with
    tls_certificate, tls_key and tls_names, the limits (timeout, max_body_mib, buffer_kib, max_connections,
    address_connections, address_rate, queue, queue_timeout, resend), get and post (the paths that are passed on), teams (of
    each named key its name, concurrency and rate), origins, key_required, metrics_host, metrics_port and metrics_from,
    servers (of each replica name, url and ready), and balancer (argv, port and runtime of smg; empty where HAProxy
    balances). No secret is among them.
  returned: always
  type: list
  elements: dict
findings:
  description: What is wrong, with severity, code, where, message, remedy and data.
  returned: always
  type: list
  elements: dict
"""
