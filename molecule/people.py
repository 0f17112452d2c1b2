# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open WebUI as people with a browser and programs use it."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers import NET
from playwright.sync_api import Page, sync_playwright

URL = f"https://{NET}.12"
EMAIL, PASSWORD = "admin@example.com", "correct-horse-battery"
SHOTS = Path(__file__).resolve().parents[1] / ".cache/webui/screenshots"
PATIENCE_MS = 120_000

# the certificate of the endpoint is signed by itself
_unverified = ssl.create_default_context()
_unverified.check_hostname, _unverified.verify_mode = False, ssl.CERT_NONE


@contextmanager
def browser() -> Iterator[Page]:
    """A page in Debian's chromium: no user is logged in."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
        yield context.new_page()
        chromium.close()


class Api:
    """Open WebUI's API as the administrator uses it."""

    def __init__(self, url: str = URL) -> None:
        self.url, self.token = url, ""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        content = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=_unverified) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def log_in(self, password: str = PASSWORD) -> int:
        status, answer = self.ask("POST", "/api/v1/auths/signin", {"email": EMAIL, "password": password})
        self.token = answer["token"] if status == 200 else ""
        return status

    def models(self) -> set[str]:
        assert self.log_in() == 200
        return {one["id"] for one in self.ask("GET", "/api/models")[1]["data"]}

    def chats(self) -> list[str]:
        assert self.log_in() == 200
        return [one["id"] for one in self.ask("GET", "/api/v1/chats/")[1]]


class Person:
    """Somebody with a browser."""

    def __init__(self, page: Page, url: str = URL) -> None:
        self.page, self.url = page, url

    def log_in(self, password: str = PASSWORD) -> None:
        """Fill in the form. The test checks whether the login succeeded."""
        self.page.goto(f"{self.url}/auth", wait_until="domcontentloaded")
        self.page.locator("#email").fill(EMAIL, timeout=PATIENCE_MS)
        self.page.locator("#password").fill(password)
        self.page.locator("button[type=submit]").click()

    def arrive(self) -> None:
        """Wait for the chat, and put away what it announces at the first visit."""
        self.page.locator("#chat-input").wait_for(timeout=PATIENCE_MS)
        news = self.page.locator("[role=dialog] button:has-text('Okay'), [aria-modal=true] button:has-text('Okay')")
        for _ in range(4):
            if news.count():
                news.first.click()
            self.page.wait_for_timeout(300)

    def choose(self, model: str) -> None:
        self.page.locator("[id^=model-selector-][id$=-button]").first.click()
        option = f"[role=option]:has-text('{model}'), button[aria-label='model-item']:has-text('{model}')"
        self.page.locator(option).first.click(timeout=PATIENCE_MS)

    def attach(self, name: str, text: str) -> None:
        """Put a document into the next message, and wait until it is read."""
        document = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
        with self.page.expect_response(lambda one: "/api/v1/files/" in one.url and one.request.method == "POST"):
            self.page.locator("input[type=file]").first.set_input_files(files=[document])  # type: ignore[list-item]
        self.page.get_by_text(name).first.wait_for(timeout=PATIENCE_MS)

    def say(self, text: str) -> list[int]:
        """Ask the model; gives how long its answer was, each time that it had grown, until it grew no more."""
        self.page.locator("#chat-input").click()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")
        answer = self.page.locator(".chat-assistant").last
        answer.wait_for(timeout=PATIENCE_MS)
        lengths: list[int] = [0]
        grown = time.monotonic()
        while time.monotonic() - grown < 8:
            if (length := len(answer.inner_text())) != lengths[-1]:
                lengths.append(length)
                grown = time.monotonic()
            self.page.wait_for_timeout(50)
        return lengths[1:]
