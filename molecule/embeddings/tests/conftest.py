# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web chat of this scenario, on the first node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers import NET
from people import Api, Person, browser

URL = f"https://{NET}.11"


@pytest.fixture
def api() -> Api:
    return Api(URL)


@pytest.fixture
def person() -> Iterator[Person]:
    with browser() as opened:
        yield Person(opened, URL)
