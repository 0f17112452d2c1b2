# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter behind the preflight's list of files."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.fullrank.serving.plugins.filter.engine_files import engine_files

LAUNCH = {"engine": "vllm", "engine_version": "0.20.2", "rank": "0", "nnodes": "1", "data_parallel_size": "1"}


def test_options_as_the_preflight_knows_them() -> None:
    named = engine_files(LAUNCH | {"engine_args": {"chat_template": "/t/chat.jinja", "no_such_option": 1}, "model": ""})
    assert named == [{"path": "/t/chat.jinja", "where": "engine_args.chat_template"}]


def test_options_of_the_wrong_type() -> None:
    with pytest.raises(AnsibleFilterError, match="engine_args"):
        engine_files(LAUNCH | {"engine_args": "rubbish"})
