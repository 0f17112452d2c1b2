# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup nccl_profile, through Ansible's own loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader


def lookup(*terms: str, **options: Any) -> list[dict[str, Any]]:
    return lookup_loader.get("fullrank.serving.nccl_profile").run(list(terms), {}, **options)


def test_shipped_and_empty() -> None:
    oci, nothing = lookup("oci-h100", "")
    assert oci["env"]["NCCL_IB_TC"] == 41
    assert nothing == {}


def test_ones_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "roce.yml").write_text("{name: roce, source: us, fabric: roce, env: {NCCL_IB_TC: 104}}")
    assert lookup("roce", directories=[str(tmp_path)])[0]["env"] == {"NCCL_IB_TC": 104}
    assert lookup("oci-a100", directories=[str(tmp_path)])[0]["name"] == "oci-a100"


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(AnsibleLookupError, match="oci-h100"):
        lookup("oci-h10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: x, source: us, fabric: roce, env: {NCCL_IB_HCA: mlx5, NCCL_ALGO: Ring}}", "NCCL_IB_HCA.*NCCL_ALGO"),
        ("", "is empty"),
        ("- a list", "no mapping"),
        ("{", "no YAML"),
    ],
)
def test_a_bad_file_is_refused_with_everything_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(AnsibleLookupError, match=message):
        lookup("x", directories=[str(tmp_path)])
