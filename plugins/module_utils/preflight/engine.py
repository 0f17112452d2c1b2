# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: what of the engine is there - its virtual environment, its image, files that its options name.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    Finding,
    failed,
    passed,
    skipped,
    warned,
)
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

# distributions whose versions must be equal on all ranks, as their metadata folders are called
DISTRIBUTIONS = ("vllm", "sglang", "lmdeploy", "ray", "torch", "nvidia_nccl_cu12", "nvidia_nccl_cu13", "transformers")


def installed_versions(host: Host, venv: str | None, names: Sequence[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Versions of these distributions in a virtual environment, by the names of their metadata folders."""
    found = {}
    for python in host.entries(f"{venv}/lib") if venv else ():
        for entry in host.entries(f"{venv}/lib/{python}/site-packages"):
            name, _unused, number = entry.partition("-")
            if entry.endswith(".dist-info") and name.lower() in names:
                found[name.lower()] = number[: -len(".dist-info")]
    return found


def python_version(host: Host, venv: str | None) -> dict[str, str]:
    """Of the interpreter, to the last digit, as Ray compares it before a node may join (ray: check_version_info)."""
    result = host.run(f"{venv}/bin/python", "--version") if venv else None
    return {"python": result.stdout.strip().removeprefix("Python ")} if result and result.rc == 0 else {}


def check_engine(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """The environment is there and has the engine in the version whose options the launch was written for."""
    code, venv, engine, version = "engine", wanted["engine_venv"], wanted["engine"], wanted["engine_version"]
    if not venv:
        return [skipped(code, "engine_venv", "no virtual environment was given")]
    if not host.exists(venv):
        remedy = "install the engine there, on every node of the deployment, or correct engine_venv"
        return [failed(code, venv, "the engine's virtual environment does not exist", remedy)]
    if not engine:
        return [skipped(code, venv, "no engine was named")]
    found = installed_versions(host, venv).get(engine)
    if found is None:
        remedy = f"install {engine} there with pip, or correct engine_venv"
        return [warned(code, venv, f"{engine} is not among its packages", remedy)]
    # after the + a build has what it was built for: 0.8.5+cu124 has the options of 0.8.5 (PEP 440, local versions)
    if version and found.partition("+")[0] != version.partition("+")[0]:
        remedy = (
            f"install {engine} {version} there, or write engine_version: {found.partition('+')[0]} if all nodes have it"
        )
        return [failed(code, venv, f"{engine} {found} is installed, {version} is wanted", remedy, version=found)]
    return [passed(code, venv, f"{engine} {found}", version=found)]


def check_files(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """What options of the engine name: it stops on a rank that lacks it, and docker makes an empty folder of the name."""
    code = "named-file"
    found: list[Finding] = []
    for one in wanted["files"]:
        if host.exists(one["path"]):
            found.append(passed(code, one["path"], f"named in {one['where']}"))
        else:
            remedy = "copy it to this node, to the same path on every node of the deployment, or correct the path"
            found.append(failed(code, one["path"], f"is not there, and {one['where']} names it", remedy))
    return found


def check_image(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """Whether the image is there, and its id: the same tag can be two images on two nodes."""
    code, image = "image", wanted["image"]
    if not image:
        return [skipped(code, "image", "no image was given")]
    result = host.run(wanted["runtime"], "image", "inspect", "--format", "{{.Id}}", image)
    if result is None or result.rc != 0:
        return [skipped(code, image, f"not on this node yet ({wanted['runtime']})")]
    image_id = result.stdout.strip()
    return [passed(code, image, image_id, image_id=image_id)]
