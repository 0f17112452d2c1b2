# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no parser checks and only fails after the start, minutes later, often as a hang: ranks, addresses, sizes, GPUs,
key, image.

Each rule names its source. Rules of one engine's own option combinations lie beside that engine.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import host_header, unset_sizes
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What may stand after ``Authorization: Bearer`` (RFC 6750 section 2.1, b64token)."""
SECRET_NAME = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)$")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
IMAGE = re.compile(r"[a-z0-9]+([._:/-]+[A-Za-z0-9_]+)*(@sha256:[0-9a-f]{64})?")
ROUTERS = ("sglang_router", "smg")
EVERYWHERE = ("0.0.0.0", "::")


def check(request: Request, call: Call, values: Mapping[str, Any], sizes: Parallel) -> list[Finding]:
    """All findings about the launch as a whole. values: what stands on the command line, by canonical name."""
    rules = (_names, _ranks, _addresses, _gpus, _imex, _endpoint, _model, _image, _mounts, _environment, _arguments)
    more = (
        _sizes(request, sizes),
        _ports(request, call),
        _key(request, call.secret),
        _host_header(request),
        _tls(request, values),
    )
    return list(chain(*(rule(request) for rule in rules), *more))


def _names(request: Request) -> Iterator[Finding]:
    """The deployment names a unit, a container and files."""
    if not NAME.fullmatch(request.deployment):
        message = f"{request.deployment!r} cannot name a unit, a container and files"
        remedy = "use letters, digits, dot, dash and underscore"
        yield failed("deployment-name", request.variable("deployment"), message, remedy)


def _ranks(request: Request) -> Iterator[Finding]:
    where = request.variable("rank")
    if request.nnodes < 1:
        yield failed("no-ranks", request.variable("nnodes"), f"{request.nnodes} nodes", "write 1 or more")
    elif not 0 <= request.rank < request.nnodes:
        message = f"rank {request.rank} of {request.nnodes}: ranks count from 0"
        yield failed("rank-out-of-range", where, message, f"write 0 to {request.nnodes - 1}")


def _addresses(request: Request) -> Iterator[Finding]:
    """sglang#3467: a rank whose rendezvous is its own address waits for the others for ever."""
    if request.nnodes == 1:
        return
    head, mine = request.head_address, request.rank_address
    here, there = request.variable("rank_address"), request.variable("head_address")
    if not head:
        yield failed("no-head-address", there, "several nodes need one rendezvous", "write rank 0's address")
    if not mine:
        yield failed("no-rank-address", here, "the other ranks must reach this one", "write this node's address")
    if not request.interface:
        message = "not known: gloo and NCCL would pick an interface"
        remedy = "a run that reaches the node finds it; a task of your own writes the one that carries rank_address"
        yield warned("no-interface", request.variable("interface"), message, remedy)
    if not head or not mine:
        return
    if not request.is_head and head == mine:
        message = f"rank {request.rank} has its own address {mine} as the rendezvous and would wait forever"
        yield failed("own-address-as-rendezvous", there, message, "write rank 0's address on every rank")
    if request.is_head and head != mine:
        message = f"rank 0 has {mine}, but the ranks are sent to {head}"
        yield failed("head-address-not-of-rank-0", there, message, f"write {mine}, or put that host first in the group")
    if _is_loopback(head) and not _is_loopback(mine):
        yield failed("loopback-rendezvous", there, f"{head} is this machine only", "write an address others can reach")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _sizes(request: Request, sizes: Parallel) -> Iterator[Finding]:
    """vllm/engine/arg_utils.py and sglang check_server_args: the product of the sizes is divided evenly over the
    nodes.
    """
    where = request.variable("tensor_parallel_size")
    for name, value in request.sizes.items():
        if value < 1:
            yield failed("size-too-small", request.variable(name), f"{value} is not a size", "write 1 or more")
    if min(request.sizes.values()) < 1 or request.nnodes < 1 or request.engine in ("ray", *ROUTERS):
        return
    over_ray = request.engine == "lmdeploy" or request.executor == "ray"
    if sizes.gpus % request.nnodes and not over_ray:
        message = f"{sizes.product} cannot be divided evenly over {request.nnodes} nodes"
        remedy = unset_sizes.proposal(request, sizes) or _sizes_remedy(request, sizes)
        yield failed("sizes-against-nodes", where, message, remedy)
        return
    each, copy = sizes.gpus_per_node, sizes.copy_gpus
    if sizes.dp > 1 and not over_ray and max(each, copy) % min(each, copy):
        message = f"{sizes.product}: a copy of {copy} does not fill whole nodes of {each:g}"
        yield failed("replica-against-nodes", where, message, "choose sizes so that one divides the other")
    if request.device == "cuda" and request.usable_gpus is not None:
        yield from _against_gpus(request, sizes)


def _against_gpus(request: Request, sizes: Parallel) -> Iterator[Finding]:
    where, usable, each = request.variable("tensor_parallel_size"), request.usable_gpus or 0, sizes.gpus_per_node
    have = f"{request.nnodes} node(s) x {usable} GPUs"
    if each > usable:
        yield failed("sizes-against-gpus", where, f"{sizes.product} on {have}", _sizes_remedy(request, sizes))
    elif each < usable:
        idle = round((usable - each) * request.nnodes)
        message = f"{sizes.product} on {have}: {idle} GPUs stay idle"
        remedy = unset_sizes.proposal(request, sizes) or _sizes_remedy(request, sizes)
        yield warned("idle-gpus", where, message, remedy)


def _sizes_remedy(request: Request, sizes: Parallel) -> str:
    """Attention groups and expert parallel take no GPUs of their own, so they are no part of the product."""
    inside = "; attention data parallel takes none of its own" if sizes.attention_dp > 1 else ""
    if request.usable_gpus is None:
        return f"choose sizes whose product is a multiple of {request.nnodes}{inside}"
    return f"choose sizes whose product is {request.nnodes * request.usable_gpus}{inside}"


def _gpus(request: Request) -> Iterator[Finding]:
    """CUDA programming guide, CUDA_VISIBLE_DEVICES: devices behind the first index that does not exist are not seen."""
    if request.gpus is None:
        return
    where = request.variable("gpus")
    if not request.gpus:
        yield failed("no-gpus", where, "an empty list hides every GPU", "leave it out to use all")
    if len(set(request.gpus)) < len(request.gpus):
        yield failed("gpu-twice", where, f"{list(request.gpus)} names a GPU twice", "name each once")
    count = request.gpus_per_node
    absent = [i for i in request.gpus if i < 0 or (count is not None and i >= count)]
    if absent:
        named = ", ".join(map(str, absent))
        message = f"GPU {named} does not exist" + (f": the node has 0 to {count - 1}" if count else "")
        message += "; CUDA would also hide every GPU named after it"
        yield failed("gpu-does-not-exist", where, message, "GPUs count from 0")


def _endpoint(request: Request) -> Iterator[Finding]:
    """Whether clients reach the endpoint, and who. Ray has none; smg on the loopback is for the router beside it."""
    if not request.is_head or request.engine == "ray" or (request.engine == "smg" and _is_loopback(request.host)):
        return
    if _is_loopback(request.host) and request.behind_router:
        return
    if _is_loopback(request.host):
        message = f"{request.host} answers this machine only"
        yield warned("loopback-endpoint", request.variable("host"), message, "write 0.0.0.0 or the node's address")
    elif not request.api_key:
        message = f"everyone who reaches port {request.port} can use the model"
        yield warned("no-api-key", request.variable("api_key"), message, "set a key, from a vault")


def _host_header(request: Request) -> Iterator[Finding]:
    """CVE-2026-48710: a version whose key a Host header skips is no endpoint for everybody."""
    if (
        not request.is_head
        or not request.api_key
        or request.engine not in host_header.ENGINES
        or _is_loopback(request.host)
    ):
        return
    where, name = request.variable("engine_version"), f"{request.engine} {request.engine_version}"
    image = request.image or "" if request.is_container else None
    judgement, why = host_header.verdict(request.engine, request.engine_version, image, request.starlette)
    exposed = request.behind_router is False and request.host in EVERYWHERE
    if judgement == host_header.AFFECTED:
        message = f"a Host header skips the key of {name} (CVE-2026-48710): {why}"
        yield (failed if exposed else warned)("host-header", where, message, host_header.remedy(request.engine))
    elif judgement == host_header.UNKNOWN and exposed:
        message = f"whether a Host header skips the key of {name} (CVE-2026-48710) is not known: {why}"
        yield warned("host-header-unknown", where, message, "playbooks/verify.yml tries it once the engine runs")


def _tls(request: Request, values: Mapping[str, Any]) -> Iterator[Finding]:
    """An endpoint of https: its supervisor, on the same node, reads the certificate and shows none of its own."""
    path = str(values.get("ssl_certfile") or "")
    if path and str(values.get("ssl_cert_reqs") or "0") != "0":
        message = "clients must show certificates, and the supervisor that asks whether it is ready has none"
        where = f"{request.variable('engine_args')}.ssl_cert_reqs"
        yield failed("client-certificates", where, message, "write 0, or leave it out")


def _ports(request: Request, call: Call) -> Iterator[Finding]:
    """The rendezvous store and the HTTP server listen on the same machine."""
    if request.nnodes > 1 and request.is_head and call.rendezvous_port == request.port:
        message = f"rank 0 would listen on {request.port} twice: for ranks and for HTTP"
        yield failed("port-twice", request.variable("rendezvous_port"), message, "choose another port for one of them")
    for option, port in (("port", request.port), ("rendezvous_port", call.rendezvous_port or 1)):
        if not 1 <= port <= 65535:
            yield failed("port-out-of-range", request.variable(option), f"{port} is not a port", "write 1 to 65535")


def _imex(request: Request) -> Iterator[Finding]:
    """Ranks on compute trays of one NVL72 rack exchange memory over NVLink by a channel only, which NVreg_CreateImexChannel0=1
    makes (IMEX User's Guide, "IMEX Channels").
    """
    rack = str(request.hardware.get("gpu", "")).upper().removeprefix("NVIDIA ").startswith(("GB200", "GB300"))
    channels = request.hardware.get("imex_channels")
    if rack and request.nnodes > 1 and channels is not None and not channels:
        message = "the node has no IMEX channel: GPUs of other nodes are reached by the network, not by NVLink"
        yield warned(
            "no-imex-channel", request.variable("hardware"), message, "run the role nvidia_driver, which makes one"
        )


def _model(request: Request) -> Iterator[Finding]:
    if request.engine in ("ray", *ROUTERS):
        return
    where = request.variable("model")
    if not request.model:
        yield failed("no-model", where, "no model is named", "write the path of the weights on the nodes")
        return
    if request.model.startswith("~"):
        message = "only a shell expands ~; here the engine would look for a folder of that name"
        yield failed("tilde", where, message, "write the whole path")
    if request.model.startswith("/") and not request.served_model_name:
        message = f"clients will have to name the model {request.model}"
        yield warned("no-served-model-name", request.variable("served_model_name"), message, "give it a name")


def _image(request: Request) -> Iterator[Finding]:
    where = request.variable("image")
    if not request.image:
        if request.is_container:
            yield failed("no-image", where, f"{request.runtime} needs an image", "name one, with its tag")
        return
    tag = request.image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if not IMAGE.fullmatch(request.image):
        yield failed(
            "image-unreadable", where, f"{request.image!r} is not an image reference", "write registry/name:tag"
        )
    elif "@sha256:" not in request.image and tag in ("", "latest"):
        message = f"{request.image} means another image tomorrow, and perhaps today on another node"
        yield warned("floating-image", where, message, "name the tag of the engine version, or a digest")


def _mounts(request: Request) -> Iterator[Finding]:
    """Docker refuses a target twice ("Duplicate mount point"), and the root of the container as one ("destination can't be '/'";
    moby/volume/mounts/linux_parser.go)."""
    where, targets = request.variable("mounts"), set()
    for mount in request.mounts:
        target = posixpath.normpath(str(mount.get("target") or mount["source"])).replace("//", "/")
        if target == "/":
            message = "/ is the whole file system of the container: its programs would be gone"
            yield failed("mount-at-root", where, message, "write a folder below it as the target")
        elif target in targets:
            message = f"two mounts have the target {target}, and the container would not start"
            yield failed("mount-target-twice", where, message, "give each mount a target of its own")
        targets.add(target)


def _arguments(request: Request) -> Iterator[Finding]:
    """No process takes an argument with a NUL (execve(2)), and no file one that is no UTF-8."""
    for name, value in request.engine_args.items():
        if any("\x00" in text or _is_no_text(text) for text in _texts([name, value])):
            message = "has a character that no command line can carry: a NUL, or half of a surrogate pair"
            yield failed(
                "no-argument", f"{request.variable('engine_args')}.{_shown(name)}", message, "write text without it"
            )


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, keys of mappings included."""
    if isinstance(value, Mapping):
        yield from chain(*(_texts(each) for item in value.items() for each in item))
    elif isinstance(value, (list, tuple)):
        yield from chain(*(_texts(each) for each in value))
    elif isinstance(value, str):
        yield value


def _is_no_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _shown(name: Any) -> str:
    return re.sub(r"[^\w.:-]", "?", str(name), flags=re.ASCII)


def _environment(request: Request) -> Iterator[Finding]:
    for name, value in request.env.items():
        where = f"{request.variable('env')}.{name}"
        if not VARIABLE.fullmatch(str(name)):
            yield failed("env-name", where, "is not a name of a variable", "use letters, digits and underscores")
        if isinstance(value, (bool, Mapping, list)) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", str(value)):
            # a value is never quoted: it may be a token
            message = (
                f"{value} is not one line of text" if isinstance(value, bool) else "its value is not one line of text"
            )
            yield failed("env-not-text", where, message, "quote it: YAML reads on, off, yes and no as true and false")
        if SECRET_NAME.search(str(name)):
            message = "looks like a secret; the unit and `docker inspect` show the environment"
            yield warned("secret-in-env", where, message, "keep it in a file that the engine reads")


def _key(request: Request, secret: Secret | None) -> Iterator[Finding]:
    """Some engines have the option only; SGLang wrote its arguments, key included, into its log before it read a logging
    configuration (sglang/srt/entrypoints/engine.py, ``server_args=``)."""
    if not request.api_key or not request.is_head:
        return
    where, engine = request.variable("api_key"), f"{request.engine} {request.engine_version}"
    if secret is None:
        yield warned("key-unused", where, f"{engine} takes no key", "protect the port by other means")
        return
    if not BEARER_TOKEN.fullmatch(str(request.api_key)):
        message = "holds characters that no Authorization header can carry"
        yield failed("key-characters", where, message, "use letters, digits and -._~+/ only (RFC 6750)")
    path = secret.path(request)
    if not path.startswith("/") or (secret.channel == "file" and not path.endswith((".yaml", ".yml"))):
        message = f"{path} is not the whole path of a file" + (
            " whose name ends in .yaml" if secret.channel == "file" else ""
        )
        yield failed("secret-file", request.variable("secret_file"), message, "leave it out to use a path that fits")
    if secret.channel == "argument":
        message = f"{engine} takes the key on its command line only: every user of the node sees it in the process list"
        yield warned("key-in-process-list", where, message, "keep other users off the nodes, or take a newer version")
    if secret.logged:
        message = f"{engine} writes its arguments, key included, into its log: who reads the journal sees it"
        remedy = "keep readers of the journal as few as holders of the key, or take 0.4.4.post2 or newer"
        yield warned("key-in-log", where, message, remedy)
