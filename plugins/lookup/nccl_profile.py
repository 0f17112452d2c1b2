# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lookup: a named site profile of NCCL tuning."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nccl_profile
short_description: A named site profile of NCCL tuning
version_added: 0.1.0
author: The fullrank authors (@fullrank)
description:
  - Brings the fabric tuning that cannot be read from a machine (traffic class, queue pairs, time-outs) by the name
    of the site.
  - A profile never holds what the machine tells (HCAs, interfaces, GID indices) nor what NCCL chooses better itself
    (E(NCCL_ALGO), E(NCCL_PROTO), E(NCCL_MIN_NCHANNELS)); one that does is refused.
  - Shipped are V(alibaba-lingjun), V(azure-nd-v4), V(azure-nd-v5), V(coreweave), V(dgx-spark), V(dgx-spark-ring),
    V(gcp-a3-high), V(gcp-a3-mega), V(gcp-a3-ultra), V(infiniband), V(lambda-1cc), V(oci-a100), V(oci-h100),
    V(oci-h100-ome), V(roce), V(sagemaker-efa), V(sensecore-ib) and V(sockets).
options:
  _terms:
    description: Names of profiles. An empty name is the empty profile.
    type: list
    elements: str
    required: true
  directories:
    description:
      - Folders with the site's own profiles, one C(NAME.yml) each, searched in order before the shipped ones.
      - Their keys are C(name), C(fabric) (infiniband, roce, efa, tcpx, tcpxo or sockets), C(source), C(env), and
        optionally C(description), C(grade), C(notes), C(left_out), C(must_not_set) and C(vendor_script).
    type: list
    elements: path
    default: []
    vars:
      - name: nccl_profile_directories
"""

EXAMPLES = r"""
- name: Tuning of OCI's H100 shape
  ansible.builtin.set_fact:
    profile: "{{ lookup('fullrank.serving.nccl_profile', 'oci-h100') }}"

- name: One's own profile
  ansible.builtin.set_fact:
    profile: "{{ lookup('fullrank.serving.nccl_profile', 'our-fabric', directories=[own]) }}"
  vars:
    own: "{{ inventory_dir }}/nccl_profiles"
"""

RETURN = r"""
_raw:
  description: The profiles, in the order of their names.
  type: list
  elements: dict
"""

import difflib
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.profile import read_profile

SHIPPED = Path(__file__).parents[1] / "plugin_utils" / "data" / "nccl_profiles"


class LookupModule(LookupBase):
    """Reads files; what they may say is decided by the util."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        folders = [*map(Path, self.get_option("directories") or []), SHIPPED]
        return [_load(str(name), folders) if name else {} for name in terms]


def _load(name: str, folders: list[Path]) -> dict[str, Any]:
    files = {path.stem: path for folder in reversed(folders) for path in folder.glob("*.yml")}
    if name not in files:
        near = difflib.get_close_matches(name, files, n=3) or sorted(files)
        raise AnsibleLookupError(f"no NCCL site profile {name!r}; there is {', '.join(near)}")
    try:
        raw = yaml.safe_load(files[name].read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise AnsibleLookupError(f"{files[name]} is no YAML: {error}") from error
    _unused, findings = read_profile(raw, where=name)
    if findings or not isinstance(raw, dict):
        wrong = "; ".join(f"{f['where']} {f['message']} - {f['remedy']}" for f in findings)
        raise AnsibleLookupError(f"{files[name]} is no site profile: {wrong or 'it is empty'}")
    return raw
