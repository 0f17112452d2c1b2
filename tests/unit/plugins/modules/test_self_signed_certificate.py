# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module self_signed_certificate, with the real openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import self_signed_certificate
from module_runner import call


class Files:
    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls/a.crt", folder / "tls/a.key"

    def make(self, *names: str, **args: Any) -> dict[str, Any]:
        wish = {
            "path": str(self.certificate),
            "key_path": str(self.key),
            "names": list(names or ("chat", "192.0.2.20")),
        }
        return call(self_signed_certificate, **wish, **args)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_made_once_for_its_names_with_a_private_key(files: Files) -> None:
    result = files.make()
    assert (result["changed"], result["why"]) == (True, "there is none")
    words = ["openssl", "x509", "-in", str(files.certificate), "-noout", "-subject", "-ext", "subjectAltName"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "CN=chat" in text.replace(" = ", "=") and "DNS:chat, IP Address:192.0.2.20" in text
    assert files.key.stat().st_mode & 0o777 == 0o600 and files.certificate.stat().st_mode & 0o777 == 0o644
    before = files.certificate.read_text()
    assert not files.make()["changed"] and files.certificate.read_text() == before


@pytest.mark.parametrize(
    ("names", "args", "why"),
    [
        (("other",), {}, "it is for other names"),
        ((), {"renew_days": 900}, "it ends soon"),
    ],
)
def test_made_again_when_it_no_longer_fits(
    files: Files, names: tuple[str, ...], args: dict[str, int], why: str
) -> None:
    files.make()
    before = files.certificate.read_text()
    assert files.make(*names, **args)["why"] == why and files.certificate.read_text() != before


def test_a_broken_one_is_made_again(files: Files) -> None:
    files.make()
    files.certificate.write_text("nonsense")
    assert files.make()["why"].startswith("it cannot be read")


def test_check_mode_writes_nothing(files: Files) -> None:
    result = files.make(check_mode=True)
    assert result["changed"] and "made for chat, 192.0.2.20" in result["diff"]["prepared"]
    assert not files.certificate.parent.exists()


def test_a_missing_openssl_is_an_error_and_none_in_check_mode(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_signed_certificate.AnsibleModule, "get_bin_path", lambda *_, **__: None)
    assert files.make(check_mode=True)["changed"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"names": ["a b"]}, "'a b' is neither a host name nor an address"),
        ({"names": ["chat", "x,DNS:evil"]}, "'x,DNS:evil' is neither"),
        ({"names": ["a..b"]}, "neither"),
        ({"names": []}, "there is none"),
        ({"names": ["x" * 65]}, "put a shorter one first"),
        ({"days": 0}, "days: 0 is out of range; write 1 to 36500"),
    ],
)
def test_names_and_days_that_no_certificate_can_have_are_refused(
    files: Files, wish: dict[str, Any], words: str
) -> None:
    made = {"names": ["chat"], **wish}
    result = call(self_signed_certificate, path=str(files.certificate), key_path=str(files.key), **made)
    assert result["failed"] and words in result["msg"] and not files.certificate.parent.exists()


@pytest.mark.parametrize("name", ["*.example.com", "chat.example.com.", "gpu_1", "fd00::1", "xn--bcher-kva.example"])
def test_other_names_of_hosts_are_taken(files: Files, name: str) -> None:
    assert files.make("chat", name)["changed"] and not files.make("chat", name)["changed"]
