#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate for sites that have none."""

from __future__ import annotations

DOCUMENTATION = r"""
module: self_signed_certificate
version_added: 0.1.0
short_description: A certificate for sites that have none, made on the node
description:
  - Makes a private key and a certificate signed by itself, for the names by which a service is reached. Browsers warn of it.
  - One that is there stays until it names something else, or ends soon.
options:
  path:
    description: The certificate.
    type: path
    required: true
  key_path:
    description: Its private key, of mode 0600.
    type: path
    required: true
  names:
    description: Host names and addresses, at least one; the first is the common name. A name may begin with C(*.).
    type: list
    elements: str
    required: true
  days:
    description: How long it is valid, from 1 to 36500.
    type: int
    default: 825
  renew_days:
    description: It is made again when it ends within so many days.
    type: int
    default: 30
attributes:
  check_mode:
    description: Returns whether it would be made.
    support: full
  diff_mode:
    description: Shows the names.
    support: full
requirements:
  - C(openssl)
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Have a certificate
  fullrank.serving.self_signed_certificate:
    path: /etc/fullrank/webui-tls.crt
    key_path: /etc/fullrank/webui-tls.key
    names: [chat.example.com, 192.0.2.20]
"""

RETURN = r"""
why:
  description: Why it was made, or would be.
  returned: changed
  type: str
"""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?")
"""A DNS name (RFC 1034 section 3.5), with the underscores that names of an inventory may have."""
LONGEST_COMMON_NAME = 64
"""Characters (RFC 5280, ub-common-name)."""


def wrong(params: Mapping[str, Any]) -> str:
    """What no certificate can have; empty where there is nothing."""
    if not params["names"]:
        return "names: there is none; name at least one host or address"
    for name in params["names"]:
        if alternative(name).startswith("DNS:") and (not NAME.fullmatch(name) or len(name) > 253):
            return f"names: {name!r} is neither a host name nor an address"
    if len(params["names"][0]) > LONGEST_COMMON_NAME:
        return f"names: the first is the common name, which has at most {LONGEST_COMMON_NAME} characters; put a shorter one first"
    if not 1 <= params["days"] <= 36500:
        return f"days: {params['days']} is out of range; write 1 to 36500"
    return ""


def alternative(name: str) -> str:
    """As subjectAltName wants it: ``DNS:host`` or ``IP:address``."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def named(text: str) -> set[str]:
    """The names in what ``openssl x509 -ext subjectAltName`` prints."""
    found = re.findall(r"(DNS|IP Address):([^,\s]+)", text)
    return {alternative(value) for _unused, value in found}


def outdated(module: AnsibleModule, openssl: str) -> str:
    """Why the certificate must be made; empty when it need not."""
    params = module.params
    if not Path(params["path"]).exists() or not Path(params["key_path"]).exists():
        return "there is none"
    look = [openssl, "x509", "-in", params["path"], "-noout"]
    code, output, error = module.run_command([*look, "-ext", "subjectAltName"])
    if code:
        return f"it cannot be read: {error.strip()}"
    if named(output) != set(map(alternative, params["names"])):
        return "it is for other names"
    code, _unused, _unused = module.run_command([*look, "-checkend", str(params["renew_days"] * 86400)])
    return "it ends soon" if code else ""


def make(module: AnsibleModule, openssl: str) -> None:
    params = module.params
    work, work_key = f"{params['path']}.new", f"{params['key_path']}.new"
    for path in (work, work_key):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)
    Path(work_key).touch(mode=0o600)  # openssl keeps the permissions of a file that is there
    words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-sha256"]
    words += ["-days", str(params["days"]), "-subj", f"/CN={params['names'][0]}", "-keyout", work_key, "-out", work]
    names = ",".join(map(alternative, params["names"]))
    module.run_command([*words, "-addext", f"subjectAltName={names}"], check_rc=True)
    Path(work).chmod(0o644)
    Path(work_key).replace(params["key_path"])
    Path(work).replace(params["path"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "key_path": {"type": "path", "required": True, "no_log": False},
            "names": {"type": "list", "elements": "str", "required": True},
            "days": {"type": "int", "default": 825},
            "renew_days": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    if message := wrong(module.params):
        module.fail_json(msg=message)
    # in check mode on a bare node the package may be what is missing
    openssl = module.get_bin_path("openssl", required=not module.check_mode)
    why = outdated(module, openssl) if openssl else "there is none"
    if not why:
        module.exit_json(changed=False)
    if not module.check_mode:
        make(module, openssl)
    names = ", ".join(module.params["names"])
    module.exit_json(changed=True, why=why, diff={"prepared": f"{module.params['path']}: made for {names} ({why})\n"})


if __name__ == "__main__":
    main()
