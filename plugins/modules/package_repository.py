#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A vendor's package repository, with its key verified, and no second source of the same."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_repository
version_added: 0.1.0
short_description: A vendor's package repository, signed by a key that was verified by its fingerprint
description:
  - Fetches the key, compares its fingerprint, and writes key and source - deb822 for apt, a C(.repo) file for dnf.
  - Takes every other source of the same address out of the files that name it; two sources of one repository with different
    keys stop apt altogether. What a file was before is kept beside it, with C(.save) at the end of its name.
  - A key that is there and has the fingerprint is not fetched again.
options:
  name:
    description: Names the files.
    type: str
    required: true
  state:
    description: V(absent) removes source and key.
    type: str
    choices: [present, absent]
    default: present
  url:
    description: Address of the repository, as the package manager takes it.
    type: str
  suite:
    description: Suite of an apt repository, C(/) for a flat one.
    type: str
    default: /
  components:
    description: Components of an apt repository.
    type: list
    elements: str
    default: []
  architecture:
    description: Architecture of an apt repository, as dpkg calls it.
    type: str
    default: ""
  key_url:
    description: Address of the public key.
    type: str
  fingerprint:
    description:
      - Fingerprint of the key, 40 hexadecimal digits; spaces do not matter.
      - Where the file holds several keys, all of theirs, with commas.
    type: str
  aliases:
    description: Other addresses of the same repository, such as the vendor's where O(url) is a mirror; their sources go, too.
    type: list
    elements: str
    default: []
  signed:
    description: What the vendor signs for dnf, the packages or only the metadata of the repository. For apt it is the metadata.
    type: str
    choices: [packages, metadata]
    default: packages
  timeout:
    description: Seconds to wait for the key.
    type: int
    default: 60
attributes:
  check_mode:
    description: Writes nothing. Fetches the key, where it is needed, to check it.
    support: full
  diff_mode:
    description: Shows the files before and after.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Docker's own packages
  fullrank.serving.package_repository:
    name: docker
    url: https://download.docker.com/linux/debian
    suite: trixie
    components: [stable]
    key_url: https://download.docker.com/linux/debian/gpg
    fingerprint: 9DC8 5822 9FC7 DD38 854A E2D8 8D81 803C 0EBF CD88
"""

RETURN = r"""
source:
  description: The source file.
  returned: always
  type: str
  sample: /etc/apt/sources.list.d/docker.sources
replaced:
  description: Files out of which other sources of the same repository were taken.
  returned: always
  type: list
  elements: str
"""

import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url
from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.packages import openpgp, sources

APT = Path("/etc/apt")


def bare(fingerprint: str) -> str:
    return re.sub(r"[\s:]", "", fingerprint).upper().removeprefix("0X")


class Repository:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.changes: list[tuple[Path, bytes, bytes]] = []  # an empty content is no file
        name = self.params["name"]
        self.apt = module.get_bin_path("apt-get") is not None
        if self.apt:
            self.source, self.key = APT / f"sources.list.d/{name}.sources", APT / f"keyrings/{name}.asc"
        else:
            self.source, self.key = Path(f"/etc/yum.repos.d/{name}.repo"), Path(f"/etc/pki/rpm-gpg/RPM-GPG-KEY-{name}")

    def want(self, path: Path, content: bytes) -> None:
        before = path.read_bytes() if path.exists() else b""
        if before != content:
            self.changes.append((path, before, content))

    def problem(self, content: bytes) -> str:
        """Why this is not the key; empty when it is."""
        try:
            there = openpgp.fingerprints(content)
        except ValueError as error:
            return f"it is not a key: {error}"
        # every key of the file is trusted, so none may be another one
        wanted = self.wanted()
        return (
            "" if set(there) <= set(wanted) else f"its fingerprint is {', '.join(there)} instead of {', '.join(wanted)}"
        )

    def wanted(self) -> list[str]:
        return [bare(one) for one in self.params["fingerprint"].split(",")]

    def key_content(self) -> bytes:
        here = self.key.read_bytes() if self.key.exists() else b""
        if here and not self.problem(here):
            return here
        address = self.params["key_url"]
        response, info = fetch_url(self.module, address, timeout=self.params["timeout"])
        if info["status"] != 200 and not address.startswith("file:"):
            self.module.fail_json(msg=f"the key cannot be fetched from {address}: {info['msg']}; nothing was changed")
        content: bytes = response.read()
        if problem := self.problem(content):
            remedy = "read the present fingerprint on the vendor's pages, and set it, if it is theirs"
            self.module.fail_json(msg=f"the key from {address} is refused, {problem}; {remedy}; nothing was changed")
        return content

    def present(self) -> list[str]:
        params = self.params
        for one in self.wanted():
            if not re.fullmatch(r"[0-9A-F]{40}", one):
                self.module.fail_json(msg=f"fingerprint: {one!r} is not 40 hexadecimal digits")
        self.want(self.key, self.key_content())
        if self.apt:
            text = sources.deb822(
                params["url"], params["suite"], params["components"], str(self.key), params["architecture"]
            )
        else:
            text = sources.repo(params["name"], params["name"], params["url"], str(self.key), params["signed"])
        replaced = []
        for file in self.others():
            before = file.read_text(errors="replace")
            after = before
            for address in (params["url"], *params["aliases"]):
                after = sources.without(after, file.name, address)
            if after != before:
                replaced.append(str(file))
                self.want(file, after.encode())
        self.want(self.source, text.encode())
        return replaced

    def others(self) -> list[Path]:
        if self.apt:
            files = [
                APT / "sources.list",
                *sorted(APT.glob("sources.list.d/*.list")),
                *sorted(APT.glob("sources.list.d/*.sources")),
            ]
        else:
            files = sorted(self.source.parent.glob("*.repo"))
        return [file for file in files if file != self.source and file.is_file()]

    def carry_out(self, replaced: list[str]) -> None:
        for path, before, content in self.changes:
            if str(path) in replaced:
                path.with_name(f"{path.name}.save").write_bytes(before)
            if content:
                write(path, content, 0o644)
            else:
                path.unlink()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "url": {"type": "str"},
            "suite": {"type": "str", "default": "/"},
            "components": {"type": "list", "elements": "str", "default": []},
            "architecture": {"type": "str", "default": ""},
            "key_url": {"type": "str", "no_log": False},
            "fingerprint": {"type": "str"},
            "aliases": {"type": "list", "elements": "str", "default": []},
            "signed": {"type": "str", "choices": ["packages", "metadata"], "default": "packages"},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "present", ["url", "key_url", "fingerprint"])],
        supports_check_mode=True,
    )
    repository = Repository(module)
    replaced: list[str] = []
    if module.params["state"] == "present":
        replaced = repository.present()
    else:
        repository.want(repository.source, b"")
        repository.want(repository.key, b"")
    if not module.check_mode:
        repository.carry_out(replaced)
    diff = [
        file_diff(path, *((content.decode("latin-1"), 0) if content else None for content in (old, new)))
        for path, old, new in repository.changes
    ]
    module.exit_json(changed=bool(repository.changes), source=str(repository.source), replaced=replaced, diff=diff)


if __name__ == "__main__":
    main()
