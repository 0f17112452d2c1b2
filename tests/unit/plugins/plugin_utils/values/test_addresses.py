# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that name machines and what they serve."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import addresses
from hypothesis import given
from hypothesis import strategies as st

NAMES = frozenset({"gpu1", "192.0.2.11"})


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("[fd00::1]", "fd00::1"),
        ("http://192.0.2.1:8000", "192.0.2.1"),
        ("192.0.2.1:8000", "192.0.2.1"),
        ("192.0.2.1/24", "192.0.2.1"),
        (" 192.0.2.1", "192.0.2.1"),
        ("eth0", "0.0.0.0"),
    ],
)
def test_what_people_write_around_an_address_is_known(text: str, instead: str) -> None:
    wrong = addresses.listen(text, NAMES)
    assert wrong and wrong.instead == instead
    assert addresses.listen(instead, NAMES) is None


@given(st.ip_addresses())
def test_every_address_is_one_and_none_is_with_brackets(address: object) -> None:
    assert addresses.is_address(str(address))
    assert addresses.address(f"[{address}]", NAMES)


@pytest.mark.parametrize(("text", "name"), [("gpu1", True), ("10.0.0.300", False), ("1.2", False), ("a" * 64, False)])
def test_numbers_with_dots_are_no_name(text: str, name: bool) -> None:
    assert addresses.is_name(text) is name


def test_a_url_loses_its_password_and_nothing_else() -> None:
    wrong = addresses.REPOSITORY.check("https://me:p%40w@host.example:8443/a@b?c=d", NAMES)
    assert wrong and wrong.instead == "https://host.example:8443/a@b?c=d"
    assert addresses.PROXY.check("http://me:pw@proxy.example:3128", NAMES) is None


def test_a_registry_is_offered_without_what_a_url_has() -> None:
    wrong = addresses.registry("https://me:pw@mirror.example/hub/", NAMES)
    assert wrong and wrong.instead == "mirror.example/hub"
