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
  - Returns the fabric tuning that cannot be read from a machine (traffic class, queue pairs, time-outs) by the name of the site.
  - A profile holds neither what the machine tells (HCAs, interfaces, GID indices) nor what NCCL chooses better itself
    (E(NCCL_ALGO), E(NCCL_PROTO), E(NCCL_MIN_NCHANNELS)).
  - Shipped are V(alibaba-lingjun), V(azure-nd-v4), V(azure-nd-v5), V(coreweave), V(dgx-spark), V(dgx-spark-ring),
    V(gcp-a3-high), V(gcp-a3-mega), V(gcp-a3-ultra), V(infiniband), V(lambda-1cc), V(oci-a100), V(oci-h100),
    V(oci-h100-ome), V(roce), V(sagemaker-efa), V(sensecore-ib) and V(sockets). Each names its source and its grade.
notes:
  - The task fails when there is no profile of a name (the nearest names are in the message), when a file is no YAML, and when a
    profile holds a key or a variable that it may not hold; all such faults of a file are reported together.
seealso:
  - plugin: fullrank.serving.nccl_env
    plugin_type: filter
options:
  _terms:
    description: Names of profiles. An empty name is the empty profile.
    type: list
    elements: str
    required: true
  directories:
    description:
      - Folders with the site's own profiles, one C(NAME.yml) each, searched in order before the shipped ones.
      - Keys of a file are C(name), C(source) (where the values come from), C(fabric) (V(infiniband), V(roce), V(efa), V(tcpx),
        V(tcpxo) or V(sockets)), and optionally C(env) (variable to string or number), C(description), C(grade) (V(vendor),
        V(project) or V(user-report)), C(notes) (a list of texts), C(left_out) (published variable to why it is not set),
        C(must_not_set) (a list of variables) and C(vendor_script) (a path in the image).
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

- name: Write a profile of one's own
  ansible.builtin.copy:
    dest: "{{ own_profiles }}/our-fabric.yml"
    content: |
      name: our-fabric
      fabric: roce
      source: network team, wiki page 12
      env: {NCCL_IB_TC: 104, NCCL_IB_TIMEOUT: 22}
    mode: "0644"

- name: Use a profile of one's own beside a shipped one
  ansible.builtin.set_fact:
    profiles: "{{ query('fullrank.serving.nccl_profile', 'our-fabric', 'roce', directories=[own_profiles]) }}"
"""

RETURN = r"""
_raw:
  description: The profiles, in the order of their names, with the keys of their files.
  type: list
  elements: dict
  sample:
    - name: our-fabric
      fabric: roce
      source: network team, wiki page 12
      env: {NCCL_IB_TC: 104, NCCL_IB_TIMEOUT: 22}
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
