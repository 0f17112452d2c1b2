# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example in a docstring of the utils is true."""

from __future__ import annotations

import doctest
import importlib

import pytest
from places import CHECKOUT

PLUGINS = CHECKOUT / "plugins"
WITH_EXAMPLES = sorted(
    path.relative_to(PLUGINS).with_suffix("").as_posix()
    for kind in ("module_utils", "plugin_utils")
    for path in (PLUGINS / kind).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("util", WITH_EXAMPLES)
def test_examples(util: str) -> None:
    module = importlib.import_module(f"ansible_collections.fullrank.serving.plugins.{util.replace('/', '.')}")
    done = doctest.testmod(module)
    assert done.attempted and not done.failed
