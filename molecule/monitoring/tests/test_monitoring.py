# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus reads the real engine: every target, rule and panel has data, faults are seen, wrong files are refused."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import NET, undocumented_sockets
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[3]
HEAD, SERVER = f"http://{NET}.11:8000", f"http://{NET}.13:9090"
PLAYBOOK = "playbooks/monitoring.yml"
ETC = "/etc/fullrank/monitoring"
FORMER = ("prometheus-fullrank", "alertmanager-fullrank", "blackbox-fullrank", "dcgm-exporter-fullrank", "rank-metrics")
"""Units of earlier versions; prepare.yml started them."""
FILES = CHECKOUT / "roles/monitoring/files"
BY_STANDIN = {"shadow"}

Play = Callable[..., Any]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)["data"]


def query(expression: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(f"{SERVER}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")[
        "result"
    ]
    return found


def wait_for(what: Callable[[], Any], seconds: int = 60) -> Any:
    """What ``what`` gives, when it gives something; the last nothing after some time."""
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(1)
    return found


def ask(text: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 8, "ignore_eos": True}
    request = urllib.request.Request(
        f"{HEAD}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=60).read()


def firing(name: str, **labels: str) -> list[dict[str, Any]]:
    found = get(f"{SERVER}/api/v1/alerts")["alerts"]
    return [
        one
        for one in found
        if one["labels"]["alertname"] == name and one["state"] == "firing" and labels.items() <= one["labels"].items()
    ]


def written(node: Host) -> str:
    """What Prometheus and its companions run from."""
    return str(node.check_output(f"find {ETC} /etc/systemd/system -type f -exec sha256sum {{}} +"))


@pytest.fixture(scope="module", autouse=True)
def load() -> Iterator[None]:
    """Requests while the tests run: latencies are of what was asked in the last minutes."""
    ended = threading.Event()

    def requests() -> None:
        while not ended.wait(1):
            with contextlib.suppress(OSError):
                ask("Are all ranks up?")

    thread = threading.Thread(target=requests, daemon=True)
    thread.start()
    yield
    alive = thread.is_alive()
    ended.set()
    thread.join(60)
    assert alive, "without requests there are no latencies"


def test_every_target_is_read() -> None:
    def up() -> dict[tuple[str, str], str]:
        found = get(f"{SERVER}/api/v1/targets")["activeTargets"]
        healths = {(one["labels"]["job"], one["labels"].get("node", "")): one["health"] for one in found}
        return healths if set(healths.values()) == {"up"} else {}

    assert set(wait_for(up)) == {
        ("node", "n1"),
        ("node", "n2"),
        ("node", "n3"),
        ("gpu", "n1"),
        ("gpu", "n2"),
        ("engine", "n1"),
        ("engine", "n1_pair"),
        ("engine", "n3_sglang"),
        ("probe", ""),
    }


def former_of(node: Host) -> str:
    """What is there of the units of earlier versions: loaded, written or enabled."""
    units = [f"{name}.service" for name in FORMER]
    loaded = node.check_output(f"systemctl list-units --all --plain --no-legend {' '.join(units)}")
    files = node.check_output(f"find /etc/systemd/system {' -o '.join(f'-name {unit}' for unit in units)}")
    return f"{loaded}{files}"


def test_every_socket_is_in_the_table_of_the_security_page(nodes: dict[str, Host]) -> None:
    assert {name: undocumented_sockets(node) for name, node in nodes.items()} == {name: [] for name in nodes}


def test_units_of_earlier_versions_are_replaced(nodes: dict[str, Host]) -> None:
    for name, node in nodes.items():
        assert former_of(node) == "", name
    assert nodes["n2"].check_output("docker ps --all --format '{{.Names}}'") == "fullrank-dcgm-exporter"


def test_what_an_earlier_version_recorded_is_kept_by_the_one_prometheus(nodes: dict[str, Host]) -> None:
    found = query("last_over_time(recorded_before[6h])")
    assert [one["value"][1] for one in found] == ["41"]
    assert nodes["n3"].check_output("pgrep --exact --count prometheus") == "1"
    for name in ("prometheus", "alertmanager"):
        assert not nodes["n3"].run(f"ls -d /var/lib/{name}-fullrank /var/lib/private/{name}-fullrank").stdout
        # every file is the unit's: what was moved, too
        owners = nodes["n3"].check_output(f"find /var/lib/private/fullrank-{name} -printf '%U\\n' | sort -u")
        assert len(owners.split()) == 1 and owners != "0"


def test_names_have_their_colons_again() -> None:
    """The stand-in of SGLang has sglang_x, as a newer prometheus_client does; vLLM 0.32 has vllm:x itself."""
    with urllib.request.urlopen(f"http://{NET}.13:30000/metrics", timeout=20) as answer:
        metrics = answer.read().decode()
    assert "\nsglang_num_running_reqs{" in metrics and "sglang:" not in metrics
    assert query('sglang:num_running_reqs{deployment="shadow"}')
    assert query('vllm:num_requests_running{deployment="tiny"}')
    assert not query('{__name__=~"(vllm|sglang)_.+"}')


def test_every_rule_is_evaluated_and_records_something_of_both_engines() -> None:
    rules = [rule for group in get(f"{SERVER}/api/v1/rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    for rule in rules:
        if rule["type"] == "recording":
            assert wait_for(lambda name=rule["name"]: query(name)), rule["name"]
    groups = yaml.safe_load((FILES / "rules.yml").read_text())["groups"]
    of_engines = [rule["record"] for group in groups if group["name"] == "fullrank-engines" for rule in group["rules"]]
    for name in of_engines:
        numbers = wait_for(
            lambda name=name: (
                {"shadow", "tiny"} <= (found := {one["metric"]["deployment"] for one in query(f"{name} >= 0")})
                and found
            ),
            90,
        )
        assert numbers, f"{name}: not a number for both"


def test_ranks_are_known_by_their_supervisors() -> None:
    for deployment, nodes in (("tiny", {"n1"}), ("pair", {"n1", "n2"})):
        up = query(f'fullrank_rank_up{{deployment="{deployment}"}}')
        assert {one["metric"]["node"]: one["value"][1] for one in up} == dict.fromkeys(nodes, "1")
        assert query(f'fullrank:deployment_ready{{deployment="{deployment}"}} == 1')


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    found = [(one["title"], target["expr"]) for one in dashboard["panels"] for target in one["targets"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric = variable["query"].removeprefix("label_values(").rpartition(",")[0]
            found.append((f"variable {variable['name']}", f"{metric} and on () vector(1)"))
    return found


@pytest.mark.parametrize(("title", "expression"), panels())
def test_every_panel_has_data(title: str, expression: str) -> None:
    for name, value in {"$deployment": ".*", "$node": ".*", "$__rate_interval": "1m"}.items():
        expression = expression.replace(name, value)
    assert wait_for(lambda: query(expression)), title


def test_an_alert_comes_with_its_texts_and_reaches_alertmanager(nodes: dict[str, Host]) -> None:
    (alert,) = wait_for(lambda: firing("CertificateExpires"))
    assert alert["annotations"]["summary"].startswith("the certificate of https://127.0.0.1:8443/ is good for 4d ")

    def received() -> list[Any]:
        answer = nodes["n3"].run(
            "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9093/api/v2/alerts').read().decode())\""
        )
        return [one for one in json.loads(answer.stdout or "[]") if one["labels"]["alertname"] == "CertificateExpires"]

    assert wait_for(received)


def test_a_second_run_changes_nothing(play: Play) -> None:
    run = play("molecule/monitoring/converge.yml")
    assert (run.rc, run.changed) == (0, 0)


def test_a_check_tells_what_a_run_would_do_and_does_it_not(play: Play, nodes: dict[str, Host]) -> None:
    before = written(nodes["n3"])
    run = play(
        PLAYBOOK,
        "--check",
        "--diff",
        "--limit",
        "localhost,monitoring",
        monitoring_retention="7d",
        monitoring_scrape_interval="30s",
    )
    assert run.rc == 0 and run.changed > 0
    assert "+    --storage.tsdb.retention.time=7d" in run.text and "+  scrape_interval: 30s" in run.text
    assert written(nodes["n3"]) == before


def test_wrong_rules_are_refused_and_the_last_good_state_goes_on(play: Play, nodes: dict[str, Host]) -> None:
    before = written(nodes["n3"])
    nodes["n3"].check_output("echo 'groups: [{name: mine, rules: [{record: x, expr: sum(}]}]' > /srv/mine.yml")
    run = play(PLAYBOOK, "--limit", "localhost,monitoring", monitoring_rule_files=["/srv/mine.yml"])
    assert run.rc != 0
    assert "promtool check config prometheus.yml refuses" in run.text and "nothing was changed" in run.text
    assert "/srv/mine.yml" in run.text and "parse error" in run.text
    assert written(nodes["n3"]) == before
    assert query('fullrank:deployment_ready{deployment="tiny"}')


def test_a_wrong_alertmanager_config_is_refused_with_the_reason(play: Play, nodes: dict[str, Host]) -> None:
    before = written(nodes["n3"])
    wrong = {
        "route": {"receiver": "missing"},
        "receivers": [{"name": "me", "webhook_configs": [{"url": "http://127.0.0.1:9/hush-hush"}]}],
    }
    run = play(PLAYBOOK, "--limit", "localhost,monitoring", monitoring_alertmanager_config=wrong)
    assert run.rc != 0 and written(nodes["n3"]) == before
    assert 'undefined receiver "missing"' in run.text and "hush-hush" not in run.text


def test_a_port_of_somebody_elses_is_left_alone(play: Play, nodes: dict[str, Host]) -> None:
    nodes["n3"].check_output("systemd-run --unit=squatter --collect python3 -m http.server 30001")
    try:
        run = play(PLAYBOOK, "--limit", "localhost,monitoring", monitoring_prometheus_port=30001)
    finally:
        nodes["n3"].check_output("systemctl stop squatter")
    assert run.rc != 0 and run.changed == 0
    assert "monitoring_prometheus_port: 30001 is taken by something else that is not ours" in run.text


def test_the_packages_own_services_are_quiet(nodes: dict[str, Host]) -> None:
    for unit in ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter"):
        assert not nodes["n3"].service(unit).is_running, unit
    for unit in ("fullrank-prometheus", "fullrank-alertmanager", "fullrank-blackbox-exporter", "grafana-server"):
        assert nodes["n3"].service(unit).is_running and nodes["n3"].service(unit).is_enabled, unit


def test_secrets_are_kept(play: Play, nodes: dict[str, Host]) -> None:
    run = play(
        PLAYBOOK, "--diff", "-vv", "--limit", "localhost,monitoring", monitoring_grafana_admin_password="another-one"
    )
    assert run.rc == 0
    for secret in ("not-for-the-log", "another-one", "a-secret-path"):
        assert secret not in run.text
    for file in ("alertmanager.yml", "grafana-admin-password"):
        assert nodes["n3"].file(f"{ETC}/{file}").mode == 0o600
    shown = nodes["n3"].check_output("systemctl show grafana-server fullrank-alertmanager")
    assert "another-one" not in shown and "a-secret-path" not in shown


def test_a_rank_that_is_killed_and_cannot_come_back_is_seen(nodes: dict[str, Host]) -> None:
    drop_in = "/run/systemd/system/fullrank-rank@pair.service.d/broken.conf"
    nodes["n2"].check_output(
        f"mkdir -p {Path(drop_in).parent} && printf '[Unit]\\nConditionPathExists=/nowhere\\n' > {drop_in}"
        " && systemctl daemon-reload && systemctl kill --signal=KILL fullrank-rank@pair"
    )
    try:
        (alert,) = wait_for(lambda: firing("RankDown", node="n2", deployment="pair", rank="1"), 120)
        assert alert["annotations"]["summary"] == "rank 1 of pair on n2 does not run"
        assert query('ALERTS{alertname="DeploymentNotReady", deployment="pair"}')  # fires after two minutes
        assert query('fullrank:deployment_ready{deployment="pair"} == 0')
        assert not query('ALERTS{alertname=~"RankDown|DeploymentNotReady", deployment="tiny"}')
    finally:
        nodes["n2"].check_output(f"rm {drop_in} && systemctl daemon-reload")
    assert wait_for(lambda: not firing("RankDown") and query('fullrank:deployment_ready{deployment="pair"} == 1'), 240)


def test_a_stopped_deployment_is_no_fault(play: Play) -> None:
    alerts = 'ALERTS{deployment="pair", alertname=~"RankDown|SupervisorSilent|DeploymentNotReady"}'
    assert play("playbooks/stop.yml", "--limit", "localhost,pair").rc == 0
    assert wait_for(lambda: query('count(fullrank_rank_wanted{deployment="pair"} == 0) == 2'))
    assert wait_for(lambda: not query(alerts))
    time.sleep(15)  # three evaluations: an alert that comes later is pending by then
    assert not query(alerts)


def test_removed_it_leaves_nothing_that_runs(play: Play, nodes: dict[str, Host]) -> None:
    unit = "/etc/systemd/system/prometheus-fullrank.service"
    nodes["n3"].check_output(
        f"printf '# Written by Ansible (fullrank.serving); changes are overwritten.\n[Service]\nExecStart=/bin/sleep infinity\n"
        f"StateDirectory=prometheus-fullrank\nDynamicUser=yes\n[Install]\nWantedBy=multi-user.target\n' > {unit}"
        " && systemctl daemon-reload && systemctl enable --now prometheus-fullrank"
    )
    before = written(nodes["n3"])
    run = play("molecule/monitoring/remove.yml", "--check")
    assert run.rc == 0 and run.changed > 0
    assert written(nodes["n3"]) == before and nodes["n3"].service("prometheus-fullrank").is_running
    assert nodes["n3"].service("fullrank-prometheus").is_running
    run = play("molecule/monitoring/remove.yml")
    assert run.rc == 0
    units = " ".join(
        f"fullrank-{name}.service"
        for name in ("prometheus", "alertmanager", "blackbox-exporter", "dcgm-exporter", "rank-metrics")
    )
    for name, node in nodes.items():
        left = node.run(f"systemctl list-units --all --no-legend {units}").stdout
        assert left.strip() == "", f"{name}: {left}"
        assert former_of(node) == "", name
        assert not node.run(f"find {ETC} -type f").stdout
    assert not nodes["n3"].package("prometheus").is_installed
    assert nodes["n3"].run("ls /var/lib/private/fullrank-prometheus").stdout  # what was recorded
    assert play("molecule/monitoring/remove.yml").changed == 0


def test_after_a_removal_it_comes_back_and_the_packages_services_stay_quiet(play: Play, nodes: dict[str, Host]) -> None:
    assert play(PLAYBOOK, "--limit", "localhost,monitoring").rc == 0
    assert not nodes["n3"].service("prometheus").is_running
    assert nodes["n3"].service("fullrank-prometheus").is_running
