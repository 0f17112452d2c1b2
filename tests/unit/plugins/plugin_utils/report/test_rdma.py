# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audits of all nodes as one report."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import audit as rdma_audit
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.rdma import report
from rdma_nodes import recorded_node


def test_nodes_are_compared(tmp_path: Path) -> None:
    node = recorded_node(tmp_path)
    one = rdma_audit.run(Host(str(tmp_path)), node, {"source": "inbox", "modules": [], "announced": False})
    assert not [x for x in report({"a": one, "b": one, "c": {}})["findings"] if x["code"].endswith("-equal")]
    other = {**one, "node": {**one["node"], "roce_mtu": ["1500"], "traffic_class": ["Global tclass=106"]}}
    third = {**one, "node": {**one["node"], "traffic_class": ["Global tclass=0"]}}
    found = {x["code"]: x for x in report({"a": other, "b": third})["findings"]}
    assert found["roce-mtu-equal"]["severity"] == "fail"
    assert report({"a": {**one, "reboot_required": "x"}, "b": one})["reboot_required"] == {"a": "x"}
    assert "Global tclass=106 on a" in found["traffic-class-equal"]["message"]
