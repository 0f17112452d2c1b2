# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In a container of a real docker. The image is a stand-in: the system of the node, with a start.sh where the published image has
its own, which starts the environment that the role made on the node.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from people import PASSWORD, Api
from testinfra.host import Host

NAME = "fullrank-webui"
IMAGE = "stand-in/open-webui:0.12.4"
MAKE = f"""
set -euo pipefail
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io docker-cli >/dev/null
mkdir -p /data/image/app/backend/data
cat > /data/image/app/backend/start.sh <<'EOF'
exec /opt/fullrank-webui/0.12.4/bin/open-webui serve --host "$HOST" --port "$PORT"
EOF
tar --create --one-file-system --directory=/ etc usr bin lib lib64 sbin tmp --directory=/data/image app |
    docker import --change 'WORKDIR /app/backend' - {IMAGE}
"""
WANTED = {
    "webui_version": "0.12.4",
    "webui_requirements": str(Path(__file__).resolve().parents[3] / "roles/webui/files/open-webui-0.12.4.txt"),
    "webui_runtime": "docker",
    "webui_image": IMAGE,
    "webui_data_dir": "/data/webui-in-docker",
    "webui_container_args": [
        *("--volume", "/opt/fullrank-webui:/opt/fullrank-webui:ro", "--volume", "/opt/fullrank:/opt/fullrank:ro"),
        *("--env", "USE_SLIM_DOCKER=true"),
    ],
}


def inspected_id(host: Host) -> str:
    return str(host.check_output("docker inspect --format {{.Id}} %s", NAME))


def test_it_runs_in_a_container_that_shows_no_secret(
    nodes: dict[str, Host], play: Callable[..., Any], api: Api
) -> None:
    host = nodes["n2"]
    made = host.run("bash -c %s", MAKE)
    assert made.rc == 0, made.stderr
    run = play("playbooks/webui.yml", **WANTED)
    assert run.rc == 0
    assert api.models() == {"tiny"}
    inspected = host.check_output(f"docker inspect {NAME}")
    key = host.file("/etc/fullrank/webui.key").content_string
    shown = inspected + host.check_output(f"systemctl cat {NAME}; ps axww; journalctl --no-pager --boot --unit={NAME}")
    assert not [secret for secret in (PASSWORD, key) if secret in shown]
    uid = host.check_output("id --user fullrank-webui")
    assert f'"User": "{uid}:' in inspected
    assert host.file("/data/webui-in-docker/webui.db").user == "fullrank-webui"
    again = play("playbooks/webui.yml", **WANTED)
    assert (again.rc, again.changed) == (0, 0)


def test_what_sigkill_leaves_behind_is_cleared(nodes: dict[str, Host], play: Callable[..., Any], api: Api) -> None:
    host = nodes["n2"]
    before = inspected_id(host)
    host.check_output(f"systemctl kill --signal=KILL {NAME}.service")
    another = f"docker inspect --format {{{{.Id}}}} {NAME} 2>/dev/null | grep -vq {before}"
    waits = f"until {another} && curl -fs 127.0.0.1:8080/health; do sleep 1; done"
    host.check_output("timeout 120 sh -c %s", waits)
    assert api.log_in() == 200
    assert host.check_output("docker ps --all --format '{{.Names}}'") == NAME
