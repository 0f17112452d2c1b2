# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser, new for each test, and Open WebUI's own API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from people import SHOTS, Api, Person
from playwright.sync_api import Page, sync_playwright


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def page() -> Iterator[Page]:
    """A page in Debian's chromium, new for each test: no user is logged in."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
        yield context.new_page()
        browser.close()


@pytest.fixture
def person(page: Page) -> Person:
    return Person(page)
