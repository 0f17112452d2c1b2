#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""serve_metrics.py PORT FILE [--certificate PEM] [MORE ...]: a stand-in of an exporter or an engine, in front of Prometheus.

Serves FILE, Prometheus' text format, at /metrics; samples of counters and histograms grow by one each second from when it was
started. Any other path is answered with 200 as well: with --certificate (key and certificate in one file) it serves TLS.
"""

from __future__ import annotations

import argparse
import re
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STARTED = time.monotonic()
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(\{.*\})? (\S+)$")


def grown(text: str, seconds: float) -> str:
    """The text after some seconds."""
    growing: tuple[str, ...] = ()
    lines = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            if kind == "counter":
                growing += (name,)
            elif kind == "histogram":
                growing += (f"{name}_bucket", f"{name}_sum", f"{name}_count")
        sample = _SAMPLE.match(line)
        grows = sample is not None and sample[1] in growing
        lines.append(f"{sample[1]}{sample[2] or ''} {float(sample[3]) + seconds}" if sample and grows else line)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--certificate")
    options, _ = parser.parse_known_args()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = grown(options.file.read_text(), time.monotonic() - STARTED) if self.path == "/metrics" else "ok\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", options.port), Handler)
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
