# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables of one host need of each other, as far as no node is asked. Pure; private to this collection.

Each rule reads values that were checked one by one before; over one that is wrong, or known on the node only, it is silent.
The roles check the same where it needs the node; here it costs no driver and no download.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning.plan import check_wishes
from ansible_collections.fullrank.serving.plugins.module_utils.node import system_paths
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import is_commit
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import brings_file, default
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.check import nearest, shown


class Need(NamedTuple):
    """One unmet need. variable: where it is to be mended. steps: into its value. warns: whether the rest works without it."""

    code: str
    variable: str
    message: str
    remedy: str
    steps: tuple[str | int, ...] = ()
    warns: bool = False


@dataclass(frozen=True)
class Context:
    """What a rule knows besides the host's own values.

    group: the name of its deployment, or of the group around. hosts: those of the group. deployments: names. profiles: of NCCL.
    embedding: names of the deployments that embed texts.
    """

    group: str
    hosts: Sequence[str]
    deployments: Collection[str] = ()
    profiles: Collection[str] = ()
    embedding: Collection[str] = ()


Values = Mapping[str, Any]
Rule = Callable[[Values, Context], Iterator[Need]]


def _version_number(values: Values, name: str) -> str:
    return str(values.get(name) or "")


def weights(values: Values, context: Context) -> Iterator[Need]:
    """Where the weights come from (roles/model, modules/model_fetch)."""
    hub = values.get("model_hub")
    for name in ("model_fetch_host", "model_distribute_source"):
        host = values.get(name)
        if host and host not in context.hosts:
            near = nearest(str(host), list(context.hosts)) or context.hosts[0]
            yield Need("host-of-another-group", name, f"{shown(host)} is no host of {context.group}", f"write {near}")
    if hub:
        yield from _folders(values)
    if not hub or "model_repo" not in values or "model_revision" not in values:
        return
    repo, revision = str(values["model_repo"]), str(values["model_revision"])
    if not repo:
        yield Need(
            "model-repo",
            "model_repo",
            f"is empty, and model_hub is {hub}",
            f"write model_repo: {_EXAMPLES[hub]}, for example",
        )
    elif hub in ("modelscope", "huggingface") and not _HUB_NAME.fullmatch(repo):
        yield Need(
            "model-repo",
            "model_repo",
            f"{shown(repo)} is no model of {hub}",
            "write OWNER/NAME, as the hub's page has it",
        )
    elif hub in ("path", "controller") and not repo.startswith("/"):
        yield Need("model-repo", "model_repo", f"{shown(repo)} is no folder", "write a whole path that begins with /")
    elif hub == "git-lfs" and (repo.startswith("-") or re.search(r"\s", repo) or not re.search(r"[:/]", repo)):
        yield Need(
            "model-repo",
            "model_repo",
            f"{shown(repo)} is no repository",
            "write its address, https://git.example/model.git",
        )
    elif hub == "git-lfs" and re.match(r"https?://[^/@]*:[^/@]*@", repo):
        bare = re.sub(r"//[^/@]*@", "//", repo)
        yield Need("model-repo", "model_repo", f"{shown(repo)} has a password in it", f"write {bare}, and model_token")
    of_git = hub == "git-lfs"
    if hub in ("modelscope", "huggingface", "git-lfs") and not is_commit(revision, of_git=of_git):
        what = f"{shown(revision)} is no commit: a branch or a tag can move" if revision else "is not set"
        digits = "40 hexadecimal digits, or 64 of a repository with SHA-256" if of_git else "40 hexadecimal digits"
        where = "as git log shows it" if of_git else "as the hub lists it"
        yield Need("model-revision", "model_revision", what, f"write the commit, {digits}, {where}")


def _folders(values: Values) -> Iterator[Need]:
    """Where weights are written to: whole folders of their own, which are given to the account that fetches."""
    own = "model_path" if values.get("model_path") else "engine_model"
    found = {name: str(values[name]) for name in (own, "model_fetch_path") if values.get(name)}
    for name, path in found.items():
        if why := system_paths.reserved(path):
            yield Need("model-folder", name, f"{shown(path)} {why}", "write one of its own, such as /data/models/NAME")
    places = [system_paths.normal(path) for path in found.values()]
    for inner, outer in (places, places[::-1]) if len(places) == 2 and places[0] != places[1] else ():
        if system_paths.within(inner, outer):
            message = f"{shown(found['model_fetch_path'])} and {own} {shown(found[own])} lie one in the other"
            yield Need("model-folder", "model_fetch_path", message, "write two folders beside each other")
    if "*" in (values.get("model_exclude") or []):
        yield Need(
            "model-exclude", "model_exclude", "excludes every file", "name what is not wanted, such as original/*"
        )


_HUB_NAME = re.compile(r"(?!\.+/)[\w.-]+/(?!\.+$)[\w.-]+")
_EXAMPLES = {
    "modelscope": "deepseek-ai/DeepSeek-R1",
    "huggingface": "deepseek-ai/DeepSeek-R1",
    "git-lfs": "https://git.example/model.git",
    "path": "/mnt/models/r1",
    "controller": "/mnt/models/r1",
}


def engine(values: Values, context: Context) -> Iterator[Need]:
    """What a launch needs besides what its rendering checks."""
    if values.get("engine_image_archive") and "engine_image" not in values:
        message = "is set, and engine_image, which names the image in it, is not"
        yield Need("image-of-archive", "engine_image_archive", message, "write engine_image too, or leave it out")
    if values.get("engine_executor") == "ray" and values.get("engine_name") == "sglang":
        yield Need(
            "executor", "engine_executor", "ray is nothing that SGLang runs over", "write native, or leave it out"
        )
    profile = (values.get("engine_nccl") or {}).get("site_profile")
    if profile and context.profiles and profile not in context.profiles:
        near = nearest(str(profile), list(context.profiles))
        remedy = f"write {near}" if near else f"write one of {', '.join(sorted(context.profiles))}"
        message = f"{shown(profile)} is no site profile"
        yield Need("site-profile", "engine_nccl", message, remedy, ("site_profile",))


def nodes(values: Values, _context: Context) -> Iterator[Need]:
    """What the roles in ``nodes_roles`` need (docs/nodes.md)."""
    named = values.get("nodes_roles") or []
    for role in dict.fromkeys(role for role in named if list(named).count(role) > 1):
        yield Need("role-twice", "nodes_roles", f"names {role} twice", "name it once")
    for role, rule in (("nvidia_driver", _driver), ("docker", _docker), ("rdma", _rdma), ("host_tuning", _host_tuning)):
        if role in named:
            yield from rule(values)
    for role in ("nvidia_driver", "nvidia_container_toolkit"):
        name = f"{role}_version"
        if role in named and not values.get(name):
            example = {"nvidia_driver": "580", "nvidia_container_toolkit": "1.18"}[role]
            yield Need(
                "version-missing",
                name,
                f"is not set, and nodes_roles names {role}",
                f'write {name}: "{example}", for example',
            )


def _driver(values: Values) -> Iterator[Need]:
    if values.get("nvidia_driver_source") != "runfile":
        return
    version = _version_number(values, "nvidia_driver_version")
    if version and "." not in version:
        message = f"{shown(version)} is a branch, and a .run file has one version"
        yield Need("driver-version", "nvidia_driver_version", message, "write the file's version, such as 535.230.02")
    if not values.get("nvidia_driver_runfile_sha256", "x"):
        message = "is not set, and nvidia_driver_source is runfile"
        yield Need(
            "runfile-sha256",
            "nvidia_driver_runfile_sha256",
            message,
            "write the sum that NVIDIA publishes beside the file",
        )


OF_DOCKER_ONLY = (
    *(
        "docker_live_restore",
        "docker_default_ulimits",
        "docker_daemon_options",
        "docker_http_proxy",
        "docker_https_proxy",
    ),
    *("docker_no_proxy", "docker_data_root", "docker_containerd_root", "docker_plugins"),
)
"""Variables of the role docker that podman and nerdctl do not read."""


def _docker(values: Values) -> Iterator[Need]:
    runtime = values.get("docker_runtime", "docker")
    if values.get("docker_containerd_root") and not values.get("docker_data_root", "x"):
        yield Need(
            "docker-root", "docker_containerd_root", "is set without docker_data_root", "write docker_data_root too"
        )
    if runtime == "docker":
        return
    for name in OF_DOCKER_ONLY:
        if values.get(name):
            message = f"is read by docker only, and docker_runtime is {runtime}"
            yield Need("docker-only", name, message, "leave it out")
    if runtime != "nerdctl":
        return
    version = _version_number(values, "docker_version")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        message = f"{shown(version) if version else 'nothing'} is no exact version of nerdctl"
        yield Need("nerdctl-version", "docker_version", message, 'write one of three numbers, such as "2.2.2"')
    if not values.get("docker_nerdctl_sha256", "x"):
        message = "is not set, and docker_runtime is nerdctl"
        yield Need("nerdctl-sha256", "docker_nerdctl_sha256", message, "write the sum from SHA256SUMS of its release")


def _rdma(values: Values) -> Iterator[Need]:
    source = values.get("rdma_source", "inbox")
    if source == "inbox":
        return
    for name, remedy in (
        ("rdma_version", 'write the release, such as "3.2.1" (doca) or "24.10-1.1.4.0" (mlnx_ofed)'),
        (
            "rdma_repository_fingerprint",
            "write the 40 hexadecimal digits that gpg --show-keys prints for the repository's key",
        ),
    ):
        if not values.get(name, "x"):
            yield Need("rdma-source", name, f"is not set, and rdma_source is {source}", remedy)


def _host_tuning(values: Values) -> Iterator[Need]:
    names = ("sysctl", "limits", "hugepages", "governor", "transparent_hugepages", "firewall_peers")
    wanted = {
        name: values.get(f"host_tuning_{name}") or default("host_tuning", f"host_tuning_{name}") for name in names
    }
    for one in check_wishes({**wanted, "firewall_peers": []}):
        variable, _dot, key = str(one["where"]).partition(".")
        remedy = str(one["remedy"]).removesuffix("?").replace("did you mean", "write")
        yield Need("host-setting", variable, one["message"], remedy, (key,) if key else ())


def router(values: Values, context: Context) -> Iterator[Need]:
    """Which deployments a host routes."""
    for number, name in enumerate(values.get("router_deployments") or []):
        if name not in context.deployments:
            known = list(context.deployments)
            near = nearest(str(name), known)
            remedy = f"write {near}" if near else f"write one of {', '.join(known)}" if known else "leave it out"
            yield Need("unknown-deployment", "router_deployments", f"{shown(name)} is no deployment", remedy, (number,))


def _documents(values: Values, context: Context) -> Iterator[Need]:
    """Where vectors of documents are kept: the role's packages (open-webui-0.12.4.txt) have pgvector alone. Seen with 0.12.4."""
    backends = values.get("webui_backends")
    embedding = [str(one.get("name") or one.get("url")) for one in backends or [] if one.get("task") == "embed"]
    embedding = embedding if backends else list(context.embedding)
    own = "webui_requirements" in values or values.get("webui_runtime", default("webui", "webui_runtime")) != "process"
    chosen = any("VECTOR_DB" in (values.get(name) or {}) for name in ("webui_env", "webui_secret_env"))
    if embedding and not (own or chosen or values.get("webui_database_url")):
        message = (
            f"is not set, and vectors of documents, which {', '.join(embedding)} embeds, are kept in PostgreSQL only"
        )
        remedy = "write postgresql://user:password@host/name of a database with the extension vector, or go without documents"
        yield Need("documents-without-store", "webui_database_url", message, remedy, warns=True)


def webui(values: Values, context: Context) -> Iterator[Need]:
    """What roles/webui refuses on its host."""
    pair = ("webui_tls_certificate", "webui_tls_key")
    if all(name in values for name in pair) and bool(values[pair[0]]) != bool(values[pair[1]]):
        missing = pair[1] if values[pair[0]] else pair[0]
        yield Need(
            "certificate",
            missing,
            f"is not set, and {pair[0] if missing == pair[1] else pair[1]} is",
            "write both or none",
        )
    if values.get("webui_backends") == []:
        yield Need(
            "no-backend", "webui_backends", "is empty", "name an endpoint, or leave it out to have all deployments"
        )
    for number, one in enumerate(values.get("webui_backends") or []):
        if any(";" in str(one.get(part) or "") for part in ("url", "key")):
            yield Need(
                "backend", "webui_backends", "has a semicolon, which separates them", "write it without", (number,)
            )
    yield from _documents(values, context)
    version = _version_number(values, "webui_version")
    process = values.get("webui_runtime") == "process" and "webui_requirements" not in values
    if process and version and not brings_file("webui", f"open-webui-{version}.txt"):
        known = default("webui", "webui_version")
        message = f"the role brings the packages of {known}, not those of {version}"
        remedy = f"write {known}, set webui_requirements, or webui_runtime: docker"
        yield Need("webui-version", "webui_version", message, remedy)


def monitoring(values: Values, _context: Context) -> Iterator[Need]:
    """What roles/monitoring refuses on its host."""
    if values.get("monitoring_grafana") is True and not values.get("monitoring_grafana_admin_password"):
        message = "is not set, and Grafana would start with the password that everybody knows"
        yield Need("grafana-password", "monitoring_grafana_admin_password", message, "write one, in a vault")
