# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in: LMDeploy without a GPU. Its command line, parser, key and use of Ray are its own; what serves is this file.

Python reads it at its start where this folder is in PYTHONPATH. It takes the place of LMDeploy's server before that is imported,
which would want CUDA. ``bin`` is the test's LMDeploy and Ray as one environment.
"""

import json
import sys
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "lmdeploy.serve.openai.api_server"


def nodes_of(world_size):
    """Addresses of the nodes on which LMDeploy's own placement group has its processes; none for one process."""
    if world_size == 1:
        return []
    import ray
    from lmdeploy.pytorch.ray import init_ray_cluster
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = init_ray_cluster(world_size)[0]

    @ray.remote(num_cpus=0, num_gpus=1)
    def where():
        return ray.util.get_node_ip_address()

    places = (PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=i) for i in range(world_size))
    return sorted(ray.get([where.options(scheduling_strategy=place).remote() for place in places]))


def serve(model_path, **options):
    """What LMDeploy's command line calls, with the arguments that it has parsed."""
    keys = options["api_keys"] or []
    nodes = nodes_of(options["backend_config"].tp)

    class Handler(BaseHTTPRequestHandler):
        def refused(self):
            refused = bool(keys) and self.headers.get("Authorization", "").removeprefix("Bearer ") not in keys
            if refused:
                self.answer(401, {"error": "Invalid request api key"})
            return refused

        def do_GET(self):
            if not self.refused():
                self.answer(200, {"data": [{"id": options["model_name"], "object": "model"}]})

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.refused():
                return
            if request.get("stream"):
                parts = [json.dumps({"choices": [{"delta": {"content": word}}]}) for word in "!?"]
                self.send("".join(f"data: {part}\n\n" for part in [*parts, "[DONE]"]), "text/event-stream")
                return
            choice = {"text": "!", "message": {"role": "assistant", "content": "!"}}
            self.answer(200, {"choices": [choice], "usage": {"completion_tokens": 1}, "nodes": nodes})

        def answer(self, status, body):
            self.send(json.dumps(body), "application/json", status)

        def send(self, text, kind, status=200):
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    print(f"a stand-in serves {options['model_name']} of {model_path}", flush=True)
    ThreadingHTTPServer((options["server_name"], options["server_port"]), Handler).serve_forever()


sys.modules[NAME] = types.ModuleType(NAME)
sys.modules[NAME].serve = serve
