#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""monitoring_vendor.py FOLDER: stand-ins of what monitoring takes from NVIDIA and Grafana, for nodes that reach neither.

FOLDER/cuda with datacenter-gpu-manager-exporter (names as in NVIDIA/dcgm-exporter, folder packaging), FOLDER/grafana with grafana
and gpg.key, FOLDER/fingerprint of that key, FOLDER/*.prom with the output of exporters. The programs in the packages are
stand-ins: the exporter serves a recording when it gets a list of counters, Grafana answers when it can read its password.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "standins"), str(TESTS / "monitoring")]
import metric_names
from apt_repository import Deb, SigningKey, publish

SAMPLE = "/usr/share/dcgm-sample.prom"
UNIT = "[Unit]\nDescription={what} (stand-in)\n[Service]\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
EXPORTER = f"""#!/bin/sh
# stand-in: DCGM would report what the list names
[ "$1" = --collectors ] && grep -q DCGM_FI_DEV_ECC_DBE_VOL_TOTAL "$2" && [ "$3" = --address ] || exit 2
exec /opt/standins/serve_metrics.py "${{4#:}}" {SAMPLE}
"""
GRAFANA = r"""#!/bin/sh
# stand-in: the real one expands $__file{...} of its settings
file=${GF_SECURITY_ADMIN_PASSWORD#'$__file{'}
[ -n "$(cat "${file%'}'}")" ] || exit 2
exec /opt/standins/serve_metrics.py "$GF_SERVER_HTTP_PORT" /dev/null
"""


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    sample = TESTS / "monitoring/data/dcgm-a800.prom"
    shutil.copy(sample, folder)
    # as prometheus_client 0.26 writes it to a Prometheus 2 (choose_encoder of its exposition.py)
    (folder / "sglang.prom").write_text(metric_names.exposition("sglang-0.5.23").replace("sglang:", "sglang_"))
    exporter = Deb(
        "datacenter-gpu-manager-exporter",
        "4.8.2-1",
        files={
            "/usr/bin/dcgm-exporter": EXPORTER,
            "/usr/lib/systemd/system/nvidia-dcgm-exporter.service": UNIT.format(
                what="dcgm-exporter", command="/usr/bin/dcgm-exporter -f /etc/dcgm-exporter/default-counters.csv"
            ),
            SAMPLE: sample.read_text(),
        },
    )
    grafana = [
        Deb(
            "grafana",
            version,
            files={
                "/usr/sbin/grafana-server": GRAFANA,
                "/usr/lib/systemd/system/grafana-server.service": UNIT.format(
                    what="Grafana", command="/usr/sbin/grafana-server"
                ),
            },
        )
        for version in ("11.6.0", "12.3.1")
    ]
    with SigningKey() as key:
        publish(folder / "cuda", [exporter], key)
        publish(folder / "grafana", grafana, key, suite="stable")
        (folder / "grafana/gpg.key").write_text(key.public())
        (folder / "fingerprint").write_text(key.fingerprint())


if __name__ == "__main__":
    main()
