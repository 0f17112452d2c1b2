# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint against settings people published, and the site profiles against both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.profile import DERIVED, NEVER_SET, read_profile
from nccl_machines import gpu, machine
from places import CHECKOUT, DATA

DATA = DATA / "nccl"
PROFILES = sorted((CHECKOUT / "plugins/plugin_utils/data/nccl_profiles").glob("*.yml"))


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if "hcas" in row:
        layer = row.get("layer", "Ethernet")
        facts["hcas"] = machine([{"hca": name, "rate": 200, "layer": layer} for name in row["hcas"]])["hcas"]
    if "capability" in row:
        facts["gpus"] = [gpu(0, row["capability"])]
    return facts


@pytest.mark.parametrize("row", yaml.safe_load((DATA / "lint.yml").read_text()), ids=lambda r: str(r["env"])[:60])
def test_published_settings(row: dict[str, Any]) -> None:
    findings = nccl_lint(row["env"], {"nccl_version": row.get("version"), "facts": facts_of(row)})
    assert sorted([f["code"], f["severity"]] for f in findings) == sorted(row["expect"])
    assert all(f["message"] and f["remedy"] for f in findings)
    if "remedy" in row:
        assert row["remedy"] in [f["remedy"] for f in findings]


def test_the_field_notes_get_the_right_findings() -> None:
    notes = yaml.safe_load((DATA / "field_notes.yml").read_text())
    context = {"nccl_version": notes["nccl_version"], "facts": {"gpus": [gpu(0, "8.0", "NVIDIA A100-SXM4-80GB")]}}
    found = [[f["where"].removeprefix("env."), f["code"], f["severity"]] for f in nccl_lint(notes["env"], context)]
    assert sorted(found) == sorted(notes["findings"])


def test_the_field_notes_where_the_prefix_trap_snaps() -> None:
    notes = yaml.safe_load((DATA / "field_notes.yml").read_text())
    facts = machine([{"hca": "mlx5_0..mlx5_11", "rate": 200}])
    found = {f["code"]: f for f in nccl_lint(notes["env"], {"facts": facts})}
    assert "mlx5_10, mlx5_11" in found["prefix-trap"]["message"]
    assert found["prefix-trap"]["remedy"] == "write =mlx5_1,mlx5_2,mlx5_3,mlx5_4"


def test_where_and_order() -> None:
    findings = nccl_lint({"NCCL_DEBUG": "INFO", "NCCL_IB_SL": 99}, {"where": "engine_env"})
    assert [f["where"] for f in findings] == ["engine_env.NCCL_IB_SL", "engine_env.NCCL_DEBUG"]
    assert nccl_lint({"NCCL_DEBUG": "INFO"}, {"gate_run": True}) == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_shipped_profile(path: Path) -> None:
    raw = yaml.safe_load(path.read_text())
    profile, findings = read_profile(raw, path.stem)
    assert findings == []
    assert profile.name == path.stem
    assert raw["grade"]
    assert not profile.env.keys() & (DERIVED | NEVER_SET.keys() | profile.left_out.keys())
    lint = nccl_lint(profile.env, {"nccl_version": "2.30.5"})
    assert [f for f in lint if f["severity"] != "info"] == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"fabric": "token-ring"}, "p.fabric"),
        ({"fabric": ["roce"]}, "p.fabric"),
        ({"source": ""}, "p.source"),
        ({"name": None}, "p.name"),
        ({"tuning": {}}, "p.tuning"),
        ({"grade": "hearsay"}, "p.grade"),
        ({"env": {"NCCL_IB_GID_INDEX": 3}}, "p.env.NCCL_IB_GID_INDEX"),
        ({"env": {"NCCL_PROTO": "Simple"}}, "p.env.NCCL_PROTO"),
        ({"env": {"NCCL_IB_RETRY_CNT": 13}}, "p.env.NCCL_IB_RETRY_CNT"),
        ({"env": {"nccl_ib_tc": 1}}, "p.env.nccl_ib_tc"),
        ({"env": {"NCCL_IB_TC": None}}, "p.env.NCCL_IB_TC"),
        ({"env": ["NCCL_IB_TC=1"]}, "p.env"),
        ({"must_not_set": "NCCL_IB_TC"}, "p.must_not_set"),
    ],
)
def test_what_a_profile_may_not_say(change: dict[str, Any], where: str) -> None:
    good = {"name": "p", "source": "s", "fabric": "roce", "env": {"NCCL_IB_TC": 41}}
    assert read_profile(good, "p")[1] == []
    assert [f["where"] for f in read_profile({**good, **change}, "p")[1]] == [where]
