# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vendor's repository: the key by its fingerprint, and no second source of the same address."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.packages import openpgp, sources
from ansible_collections.fullrank.serving.plugins.modules.package_repository import Repository

from tests.standins.apt_repository import SigningKey

DOCKER = "https://download.docker.com/linux/debian"


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


def test_of_a_file_with_several_keys_all_are_named() -> None:
    """Each of them is trusted."""
    with SigningKey() as one, SigningKey("another <another@fullrank.invalid>") as other:
        file = f"{one.public()}\n{other.public()}".encode()
        first, second = one.fingerprint(), other.fingerprint()

    def problem(fingerprint: str) -> str:
        module = SimpleNamespace(
            params={"name": "x", "fingerprint": fingerprint}, get_bin_path=lambda _: "/usr/bin/apt-get"
        )
        return Repository(module).problem(file)  # type: ignore[arg-type]

    assert problem(f"{second.lower()}, {first}") == ""
    assert problem(first) == f"its fingerprint is {first}, {second} instead of {first}"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        (
            "docker.list",
            f"deb [arch=amd64 signed-by=/usr/share/keyrings/docker.gpg] {DOCKER} trixie stable\n# keep\ndeb http://x/ y z\n",
            "# keep\ndeb http://x/ y z\n",
        ),
        (
            "all.sources",
            "Types: deb\nURIs: http://x/\nSuites: y\n\nTypes: deb\n"
            "URIs:\n http://download.docker.com/linux/debian/\nSuites: trixie\nComponents: stable\n",
            "Types: deb\nURIs: http://x/\nSuites: y\n",
        ),
        ("only.sources", f"Types: deb\nURIs: {DOCKER}\nSuites: trixie\n", ""),
        (
            "docker-ce.repo",
            f"[a]\nbaseurl={DOCKER}/9/x86_64/stable\n[b]\nbaseurl=http://x/\n",
            "[b]\nbaseurl=http://x/\n",
        ),
        ("ubuntu.list", "deb https://download.docker.com/linux/debian-archive x y\n", None),
        ("comment.list", f"# deb {DOCKER} trixie stable\n", None),
    ],
)
def test_older_sources_of_the_address_are_found(name: str, before: str, after: str | None) -> None:
    assert sources.without(before, name, DOCKER) == (before if after is None else after)
