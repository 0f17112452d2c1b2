# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of OpenPGP keys, compared with those that gpg prints."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.packages import openpgp

from tests.standins.apt_repository import SigningKey


def test_the_fingerprint_is_that_of_gpg() -> None:
    with SigningKey() as key:
        armored, binary, fingerprint = key.public().encode(), key.public_binary(), key.fingerprint()
    assert openpgp.fingerprints(armored) == openpgp.fingerprints(binary) == [fingerprint]
    assert openpgp.fingerprints(armored + b"\n" + armored) == [fingerprint] * 2
    for broken in (binary[:60], armored.replace(b"A", b"!", 3), b""):
        with pytest.raises(ValueError):
            openpgp.fingerprints(broken)


def test_a_page_of_html_is_no_key() -> None:
    with pytest.raises(ValueError, match="not an OpenPGP file"):
        openpgp.fingerprints(b"<html>404</html>")
