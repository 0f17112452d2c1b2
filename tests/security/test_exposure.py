# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``systemd-analyze security`` on every unit that this collection writes: what could somebody do who has taken it over?

Its rating goes from 0 to 10; systemd calls 5.0 to 7.0 medium. A unit above 5.0 stands in a list, with its reason.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import launch
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning import firewall
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import container_toolkit
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import plan as nvidia_plan
from ansible_collections.fullrank.serving.plugins.module_utils.rank import units
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.webui import unit as webui
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import conversion
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan as fetch
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import request
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import UID, Worker

from tests.unit.roles.test_templates import RENDERED

CHECKOUT = Path(__file__).resolve().parents[2]
MOST = 5.0

MAKES_CONTAINERS = "podman and nerdctl make containers themselves: mounts, namespaces and devices are what they are for"
DRIVER = (
    "it talks to the driver, whose modules and device files it may make; what it needs cannot be tried without a GPU"
)
EXCEED = {
    "rank in podman": MAKES_CONTAINERS,
    "rank in nerdctl": MAKES_CONTAINERS,
    "supervisor of podman": MAKES_CONTAINERS,
    "supervisor of nerdctl": MAKES_CONTAINERS,
    "webui in podman": MAKES_CONTAINERS,
    "communication check in a container": MAKES_CONTAINERS,
    "conversion in a container": MAKES_CONTAINERS,
    "nvidia-persistenced": DRIVER,
    "CDI specification": DRIVER,
}
OWN, ROOT = Worker(UID, UID), Worker(0, 0, "as a test")
PART: dict[str, Any] = {"timeout": 60, "port": 7000, "rsh": "", "upstreams": [{}]}


def rank(runtime: str = "", dynamic_user: bool = False) -> str:
    return units.render_unit(
        deployment="tiny",
        description="",
        argv=["/bin/true"],
        env={},
        spec_hash="",
        environment_file="",
        load_credential="",
        stop_timeout=1,
        dynamic_user=dynamic_user,
        container={"name": "tiny", "runtime": runtime} if runtime else None,
    )


def supervisor(runtime: str = "") -> str:
    return units.render_supervisor_unit(deployment="tiny", description="", stop_timeout=1, runtime=runtime)


def chat(runtime: str) -> str:
    spec = webui.Spec("1.2.3", runtime, "/var/lib/x", "127.0.0.1", 80, program="/bin/true", image="i", account="1:1")
    return webui.render(spec, "")


def started(unit: transient.Unit) -> str:
    """A transient unit as the file that it would be."""
    words = transient.start_command(unit)
    found = [word.removeprefix("--property=") for word in words if word.startswith("--property=")]
    return "\n".join(["[Service]", "ExecStart=/bin/true", *found, ""])


def converted(image: conversion.Image | None) -> transient.Unit:
    work = conversion.Work(Path("/s"), {}, {}, {}, None, [], [], 0, [])
    options = {"python": "/usr/bin/python3", "rank": 0, "device": "auto", "timeout": 60}
    return conversion.unit(work, Path("/t"), options, OWN, image)


def fetched(who: Worker) -> transient.Unit:
    return fetch.unit("/m", "/usr/bin/python3", "x", 60, writes="/m", reads=[], worker=who)


def transferred(who: Worker, **changes: Any) -> transient.Unit:
    return request.unit("/m", PART | changes, "/usr/bin/python3", who)


def checked(dynamic_user: bool, backend: str = "nccl") -> transient.Unit:
    return launch.unit("tiny", ["/usr/bin/python3"], {}, 60, dynamic_user=dynamic_user, backend=backend)


UNITS = {
    "rank": rank(dynamic_user=True),
    "rank as root": rank(),
    **{f"rank in {runtime}": rank(runtime) for runtime in ("docker", "podman", "nerdctl")},
    "supervisor": supervisor(),
    **{f"supervisor of {runtime}": supervisor(runtime) for runtime in ("docker", "podman", "nerdctl")},
    # whatever else modules write, the router's among it
    **{
        name: text
        for name, text in RENDERED.items()
        if "[Service]" in text and name not in ("rank", "supervisor", "webui")
    },
    "webui": chat("process"),
    "webui in docker": chat("/usr/bin/docker"),
    "webui in podman": chat("/usr/bin/podman"),
    "rules of the firewall": firewall.nft_unit(),
    "nvidia-persistenced": nvidia_plan._PERSISTENCED_UNIT,
    "CDI specification": next(text for path, text in container_toolkit.UNITS.items() if path.endswith(".service")),
    "fetch": started(fetched(OWN)),
    "fetch as root": started(fetched(ROOT)),
    "transfer": started(transferred(OWN)),
    "transfer on a low port": started(transferred(OWN, port=873)),
    "transfer by rsync": started(transferred(ROOT, rsh="ssh")),
    "conversion": started(converted(None)),
    "conversion in a container": started(converted(conversion.Image("i", "/usr/bin/docker", [], gpus=True))),
    "communication check": started(checked(dynamic_user=True)),
    "communication check as root": started(checked(dynamic_user=False)),
    "communication check by ssh": started(checked(dynamic_user=False, backend="mpi")),
    "communication check in a container": started(launch.client_unit("tiny", ["docker"], 60)),
}
TEMPLATES = {
    path.name.removesuffix(".service.j2"): re.sub(r"\{\{.*?\}\}", "/x", path.read_text())
    for path in sorted((CHECKOUT / "roles").glob("*/templates/**/*.service.j2"))
}
ALL = UNITS | TEMPLATES
assert set(UNITS).isdisjoint(TEMPLATES)


@pytest.fixture(scope="module")
def exposures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The rating of each unit."""
    work = tmp_path_factory.mktemp("units")
    names = {f"unit-{number}.service": name for number, name in enumerate(ALL)}
    for file, name in names.items():
        (work / file).write_text(ALL[name])
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", *(str(work / file) for file in names)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    found = re.findall(r"Overall exposure level for (\S+): ([\d.]+)", done.stdout)
    assert len(found) == len(ALL), done.stderr
    return {names[file]: float(rating) for file, rating in found}


@pytest.mark.parametrize("name", ALL)
def test_exposure(name: str, exposures: dict[str, float]) -> None:
    assert exposures[name] <= MOST or name in EXCEED


def sources() -> Iterator[tuple[str, str]]:
    """Files that hold a unit's text: path, and what it has of ``ExecStart=``."""
    for folder in ("plugins", "roles"):
        for path in sorted((CHECKOUT / folder).rglob("*")):
            if path.suffix in (".py", ".yml", ".j2") and "[Service]" in path.read_text():
                yield str(path.relative_to(CHECKOUT)), path.read_text()


# a drop-in for a unit of somebody else, whose exposure is not ours to decide
DROP_INS = {
    "plugins/module_utils/rdma/stack.py",
    "plugins/modules/service_unit.py",
    "roles/docker/vars/main.yml",
    "roles/monitoring/templates/etc/systemd/system/grafana-server.service.d/fullrank.conf.j2",
    "roles/monitoring/templates/etc/systemd/system/nvidia-dcgm-exporter.service.d/fullrank.conf.j2",
}
RATED = {
    "plugins/module_utils/host_tuning/firewall.py",
    "plugins/module_utils/nvidia/container_toolkit.py",
    "plugins/module_utils/nvidia/plan.py",
    "plugins/module_utils/rank/units.py",
    "plugins/module_utils/router/files.py",
    "plugins/module_utils/webui/unit.py",
}


def test_no_unit_is_left_out() -> None:
    found = {path for path, _text in sources() if not path.endswith(".service.j2")}
    assert found - DROP_INS - {"plugins/module_utils/systemd/hardening.py"} == RATED
    starting = {path.name for path in (CHECKOUT / "plugins").rglob("*.py") if "transient.Unit(" in path.read_text()}
    assert starting == {"conversion.py", "launch.py", "plan.py", "request.py"}


def test_every_reason_has_its_unit() -> None:
    assert set(EXCEED) <= set(ALL)
