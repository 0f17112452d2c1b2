# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the key of a real engine does not guard, and whether our check sees it: vLLM on CPU with a key and a certificate.

One engine serves all tests here: it needs half a minute to start. It listens on loopback and ends with the module.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import answer, checks, metrics, open_paths
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import agent

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-of-this-test"
READY_S = 240
SETTINGS = (
    "--served-model-name tiny --host 127.0.0.1 --dtype float32 --enforce-eager --max-model-len 256 --max-num-seqs 4 "
    "--kv-cache-memory-bytes 67108864"
).split()

pytestmark = pytest.mark.engine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def certificate(folder: Path, name: str) -> Path:
    """A certificate for another name than the one by which it is asked, with its key beside it."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1".split()
    words += ["-subj", f"/CN={name}", "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    subprocess.run(words, check=True, capture_output=True)
    return folder / f"{name}.crt"


class Engine:
    def __init__(self, url: str, own: Path, other: Path) -> None:
        self.url, self.own, self.other = url, own, other
        self.trust = http_client.Trust(certificate=str(own))

    def request(self, path: str, **how: Any) -> http_client.Answer:
        return http_client.request(f"{self.url}{path}", timeout=60, trust=self.trust, **how)

    def look(self, place: str) -> dict[str, dict[str, Any]]:
        """The findings of the endpoint check, by their codes; of several with one code the last."""
        one = {"name": "tiny", "url": self.url, "model": "tiny", "api_key": KEY, "engine": "vllm", "place": place}
        found = checks.look_at_all([{**one, "certificate": str(self.own)}], 60)
        return {finding["code"]: finding for finding in found}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    own, other = certificate(folder, "own"), certificate(folder, "other")
    port = free_port()
    env = {
        **os.environ,
        "VLLM_API_KEY": KEY,
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    env["VLLM_HOST_IP"] = "127.0.0.1"
    command = [
        ROOT / "tests/engines/in-opt",
        "/opt/fullrank/vllm/bin/vllm",
        "serve",
        ROOT / ".cache/models/tiny",
        *SETTINGS,
    ]
    command += ["--port", str(port), "--ssl-certfile", own, "--ssl-keyfile", own.with_suffix(".key")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    running = Engine(f"https://127.0.0.1:{port}", own, other)
    try:
        deadline = time.monotonic() + READY_S
        while not answer.ask(running.url, "tiny", KEY, 30, running.trust)["ready"]:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-4000:]
            time.sleep(1)
        yield running
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_completion_without_a_key(engine: Engine) -> None:
    """The attack: this is why the key alone does not guard a model."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 2}
    assert engine.request("/v1/chat/completions", body=body).status == 401
    answer = engine.request("/invocations", body=body)
    assert answer.status == 200 and answer.json()["choices"]


def test_the_check_reports_the_paths_that_answer_everybody(engine: Engine) -> None:
    found = engine.look("alone")["paths-without-key"]
    assert found["severity"] == "warn"
    paths = found["data"]["paths"]
    assert {"/invocations", "/tokenize"} <= set(paths[open_paths.MODEL])
    assert "/scale_elastic_ep" in paths[open_paths.CONTROL]
    assert {"/metrics", "/version", "/load"} <= set(paths[open_paths.INFORMATION])
    assert "/invocations" in found["message"] and "engine_router_on_head" in found["remedy"]
    guarded = {
        path for some in paths.values() for path in some if path.startswith(("/v1", "/v2", "/inference", "/cohere"))
    }
    assert guarded == set()


def test_nothing_may_answer_everybody_at_a_router(engine: Engine) -> None:
    assert engine.look("router")["paths-without-key"]["severity"] == "fail"


def test_a_probe_runs_no_handler(engine: Engine) -> None:
    """Every path of the table and of the engine's own list, asked as the check asks: the engine goes on as before."""
    before = engine.request("/metrics").text.count("\n")
    described = engine.request("/openapi.json").json()["paths"]
    probed = {**open_paths.known(tuple(open_paths.PATHS)), **dict.fromkeys(described, "")}
    statuses = {
        path: engine.request(path.replace("{", "").replace("}", ""), method=open_paths.PROBE).status for path in probed
    }
    answered = {path for path, status in statuses.items() if status not in (401, 404, 405)}
    assert answered <= {"/metrics"}, "a reading by whatever method"
    assert answer.ask(engine.url, "tiny", KEY, 30, engine.trust)["ready"]
    assert engine.request("/metrics").text.count("\n") >= before


def test_the_engine_has_no_path_of_which_the_check_does_not_know(engine: Engine) -> None:
    """What the engine lists itself is asked anyway; the table is for those that keep the list to themselves."""
    described = set(engine.request("/openapi.json").json()["paths"])
    guarded = ("/v1/", "/v2/", "/inference/", "/cohere/")
    outside = {path for path in described if not path.startswith(guarded)}
    assert outside - set(open_paths.HEALTHY) <= set(open_paths.known(("vllm",)))


def test_a_host_header_opens_nothing_of_this_version(engine: Engine) -> None:
    assert engine.look("alone")["host-header"]["severity"] == "pass"


def test_the_engine_is_known_by_its_own_certificate_alone(engine: Engine) -> None:
    """As its supervisor asks: by an address that the certificate does not name, and by no other certificate."""
    assert answer.ask(engine.url, "tiny", KEY, 30, engine.trust)["ready"]
    assert metrics.ask(engine.url, KEY, 30, engine.trust, apart=0.1)["error"] == ""
    for trust in (
        http_client.MACHINE,
        http_client.Trust(certificate=str(engine.other)),
        http_client.Trust(str(engine.other)),
    ):
        seen = answer.ask(engine.url, "tiny", KEY, 30, trust)
        assert not seen["ready"] and "CERTIFICATE_VERIFY_FAILED" in seen["error"]
    assert "cannot be read" in answer.ask(engine.url, "tiny", KEY, 30, http_client.Trust("/nonexistent"))["error"]


def test_its_supervisor_sees_it_ready(engine: Engine) -> None:
    """By completions and counters, as long as it lives."""
    config = {"url": engine.url, "model": "tiny"}
    probe = agent.EndpointProbe(config, KEY, trust=engine.trust, log=lambda _seconds: "", limit=120, now=0.0)
    try:
        deadline = time.monotonic() + 60
        while not probe.health(1.0).answers:
            assert time.monotonic() < deadline, probe.health(1.0)
            time.sleep(0.2)
    finally:
        probe.end()


def test_plain_http_at_its_port_gets_no_answer(engine: Engine) -> None:
    answer = http_client.request(engine.url.replace("https", "http") + "/v1/models", timeout=10)
    assert answer.status == 0


def test_the_key_is_never_sent_to_a_server_with_another_certificate(tmp_path: Path) -> None:
    """Somebody else at the engine's port: the handshake ends before the request."""
    own, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other, other.with_suffix(".key"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        child = subprocess.Popen(
            ["python3", "-c", _ASK, str(ROOT / "collections"), url, str(own), KEY], stdout=subprocess.PIPE, text=True
        )
        connected, _unused = server.accept()
        with connected, pytest.raises(ssl.SSLError):
            context.wrap_socket(connected, server_side=True).recv(1)
    output, _unused = child.communicate(timeout=10)
    assert "CERTIFICATE_VERIFY_FAILED" in json.loads(output)["error"]


_ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
answer = http_client.request(sys.argv[2], timeout=5, headers=http_client.bearer(sys.argv[4]),
                             trust=http_client.Trust(certificate=sys.argv[3]))
print(json.dumps({"error": answer.error}))
"""
