# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser, new for each test, and Open WebUI's own API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from people import Api, Person, browser
from playwright.sync_api import Page


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def page() -> Iterator[Page]:
    """New for each test."""
    with browser() as opened:
        yield opened


@pytest.fixture
def person(page: Page) -> Person:
    return Person(page)
