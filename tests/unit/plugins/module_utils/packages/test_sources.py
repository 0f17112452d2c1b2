# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of one repository in files of apt and dnf."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.packages import sources

DOCKER = "https://download.docker.com/linux/debian"


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
