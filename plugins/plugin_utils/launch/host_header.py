# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Host header skips the key of an engine version (CVE-2026-48710). Pure; private to this collection.

Starlette 0.8.3 to 1.0.0 rebuilds a request's URL from its Host header, so that an engine that looks into that URL for the path
sees another path than the one that is served (GHSA-86qp-5c8j-p5mr; mended in 1.0.1 of 2026-05-21). Three things decide: whether
the engine's own code looks there, which Starlette its package requires, and which one is installed.

Read from the published wheels, code and metadata, of vLLM 0.7.3, 0.9.0, 0.11.0, 0.14.0, 0.18.0, 0.20.2 to 0.22.1, 0.30.0, 0.32.0
and 0.33.0, metadata alone of 0.23.0 to 0.27.0; of SGLang 0.4.0, 0.5.5, 0.5.9, 0.5.10.post1, 0.5.12 to 0.5.14, 0.5.16, 0.5.19,
0.5.22 and 0.5.23; of LMDeploy 0.7.0, 0.10.0 to 0.15.0 and 0.18.0. Dates of release are those of the same files.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import InvalidVersion, Version

AFFECTED, SAFE, UNKNOWN = "affected", "not affected", "unknown"
FIRST, MENDED = "0.8.3", "1.0.1"
"""The first Starlette that has the fault, and the first that has it no more."""


@dataclass(frozen=True)
class Facts:
    """What is known of an engine's versions.

    looks_since: the first version that takes the path from the rebuilt URL; empty for all. looks_not_since: the first that takes
    it from the request again; empty for none. old_until: the last version that was released before Starlette 1.0.1, so that its
    published image has an older one. image: the end of the published image's name. source: where that stands.
    """

    looks_since: str
    looks_not_since: str
    old_until: str
    image: str
    source: str


ENGINES = {
    "vllm": Facts(
        "",
        "0.22.0",
        "0.21.0",
        "vllm/vllm-openai",
        "AuthenticationMiddleware: request.url.path until 0.9, URL(scope=scope).path until 0.21.0, scope['path'] from 0.22.0 on "
        "(vllm/entrypoints/openai/api_server.py, server_utils.py, serve/middleware/authenticate.py); from 0.24.0 on the package "
        "requires starlette>=1.0.1 (vllm#45675)",
    ),
    "sglang": Facts(
        "",
        "",
        "0.5.12",
        "lmsysorg/sglang",
        "request.url.path in all versions (sglang/srt/utils.py, utils/common.py, utils/auth.py); fastapi without a version",
    ),
    "lmdeploy": Facts(
        "0.12.3",
        "",
        "0.13.0",
        "openmmlab/lmdeploy",
        "a dependency of each route until 0.12.1 (api_server.py), URL(scope=scope).path from 0.12.3 on "
        "(serve/utils/server_utils.py); fastapi without a version",
    ),
}


def verdict(engine: str, version: str, image: str | None, starlette: str) -> tuple[str, str]:
    """``affected``, ``not affected`` or ``unknown``, and why.

    image: of the container; None for a process. starlette: the version that a process has; empty when it is not known.
    """
    facts = ENGINES.get(engine)
    try:
        own = Version(version)
    except InvalidVersion:
        return UNKNOWN, f"{version} is no published version"
    if facts is None:
        return SAFE, f"{engine} does not use Starlette for its key"
    if facts.looks_since and own < Version(facts.looks_since):
        return SAFE, "its key is checked by each route"
    if facts.looks_not_since and own >= Version(facts.looks_not_since):
        return SAFE, "its key is checked by the path of the request itself"
    if starlette and image is None:
        old = Version(FIRST) <= Version(starlette) < Version(MENDED)
        return (AFFECTED if old else SAFE), f"Starlette {starlette} is installed"
    if image and _published(image, facts.image, version) and own <= Version(facts.old_until):
        return AFFECTED, f"its image is older than Starlette {MENDED}"
    return UNKNOWN, f"it depends on the Starlette that is installed with it, which is {MENDED} or newer or is not"


def _published(image: str, name: str, version: str) -> bool:
    """Whether an image is the published one of a version, from wherever: registry.example/lmsysorg/sglang:v0.5.5-cu126."""
    repository, _unused, tag = image.partition("@")[0].rpartition(":")
    return (repository == name or repository.endswith(f"/{name}")) and tag.lstrip("v").startswith(version)


def remedy(engine: str) -> str:
    """What to do about an affected version."""
    facts = ENGINES[engine]
    newer = f"{facts.looks_not_since} or newer" if facts.looks_not_since else f"newer than {facts.old_until}"
    return (
        f"take an engine_version that is {newer}, with Starlette {MENDED} or newer; or put a router before it, which sends a "
        "Host of its own: engine_router_on_head: true, or a host in the group router"
    )
