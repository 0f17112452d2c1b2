# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model on the nodes, and runs that distribute it in the background."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PLAYBOOK = "molecule/model_distribute/converge.yml"
CHECKOUT = Path(__file__).resolve().parents[3]
SIZES = (12_000_000, 9_000_001, 1_000)
TOTAL = sum(SIZES)
SLICE = 1 << 19
"""What plugin_utils/actions/weights_distribution.py chooses for so little."""
STREAMS = 2
ON_THE_WAY = STREAMS * SLICE
"""What an interruption may cost a node."""
PORT = 7790
LIMIT_S = 240


def on_the_wire(size: int) -> int:
    """Bytes of the packets that carry so many: 1448 in 1500, and a little for requests."""
    return int(size * 1.05) + 200_000


def in_network(node: str, *command: str) -> str:
    """Run a command of this machine in a node's network."""
    net = f"/run/netns/{os.environ.get('GROUND_NAME', 'fr')}-{node}"
    return subprocess.run(["nsenter", f"--net={net}", *command], check=True, capture_output=True, text=True).stdout


@dataclass
class Model:
    """One model's folder, the same path on every node."""

    path: str
    ground: Callable[..., str]
    inventory: Path
    port: int = PORT

    def on(self, node: str, command: str) -> str:
        return self.ground("exec", node, command)

    def make(self, node: str, seed: int = 1) -> None:
        self.on(node, f"/opt/standins/make-model {self.path} {seed} {' '.join(map(str, SIZES))}")

    def sums(self, node: str) -> str:
        return self.on(node, f"cd {self.path} && sha256sum *.safetensors .fullrank/manifest.json .fullrank/READY")

    def ready(self, node: str) -> bool:
        return "yes" in self.on(node, f"test -e {self.path}/.fullrank/READY && echo yes || true")

    def here(self, node: str) -> int:
        """Bytes that unfinished and finished files take on the node's disk."""
        return int(self.on(node, f"du -s --block-size=1 {self.path} 2>/dev/null | cut -f1 || true").strip() or 0)

    def wait_for(self, node: str, size: int) -> None:
        """Until so much has arrived on a node."""
        deadline = time.monotonic() + LIMIT_S
        while self.here(node) < size:
            assert time.monotonic() < deadline, f"{node} has not got {size} bytes of {self.path}"
            time.sleep(0.2)

    def wait_for_no_token(self, node: str) -> None:
        """Until the folder of the node's part, which holds the token, is gone."""
        deadline = time.monotonic() + LIMIT_S
        while left := self.on(node, "find /run/fullrank -mindepth 1 -maxdepth 1 -type d ! -name '*.progress'").strip():
            assert time.monotonic() < deadline, left
            time.sleep(0.2)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A run in the background, as the operator's own process."""
        # a shell's background job ignores SIGINT, and so would what it starts
        command = ["env", "--default-signal=INT", "ansible-playbook", PLAYBOOK, "-i", str(self.inventory)]
        return subprocess.Popen(
            [*command, "-e", f"model_path={self.path}", "-e", f"model_distribute_port={self.port}", *arguments],
            cwd=CHECKOUT,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, run: subprocess.Popen[str]) -> tuple[int, str]:
        text, _ = run.communicate(timeout=LIMIT_S)
        print(text)
        return run.returncode, text

    def run(self) -> tuple[int, str]:
        return self.end(self.start())

    def assert_everywhere(self, *nodes: str) -> None:
        wanted = self.sums("n1")
        for node in nodes:
            assert self.sums(node) == wanted, node
