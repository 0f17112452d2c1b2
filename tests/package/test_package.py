# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as its users get it: built, installed from the file into a fresh place, used by its full names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIMIT_S = 120

# One rank on a port without a listener: a node that does not answer; no other machine is contacted.
INVENTORY = """\
all:
  children:
    deployments:
      children:
        alone:
          hosts:
            n1: {ansible_host: 127.0.0.1, ansible_port: 1}
          vars:
            engine_name: vllm
            engine_version: 0.32.0
            engine_model: /srv/models/x
            engine_tensor_parallel_size: 8
"""


# what a user may have beside the tracked files: inventories of their own, keys, vaults, leftovers of runs
PRIVATE_TEXT = "of-one-site-only"
PRIVATE = (
    *("inventories/mine/hosts.yml", "inventories/production/hosts.yml", "inventories/prod2/group_vars/all/x.yml"),
    *(
        "inventories/localhost",
        "inventories/pro/hosts.yml",
        "inventories/lo/hosts.yml",
        "inventories/h20-old/hosts.yml",
    ),
    *("inventories/p", "inventories/pro-berlin.yml", "inventories/h200/hosts.yml", "inventories/l40s/hosts.yml"),
    *("inventories/loc", "inventories/h2", "inventories/Prod/hosts.yml", "inventories/.hidden"),
    *("inventories/prod/group_vars/deepseek_r1.key.yml", "inventories/prod/group_vars/all/vault.yml"),
    *("inventories/prod/group_vars/all/my_vault/x.yml", "inventories/local/group_vars/tiny.key.yml"),
    *("inventories/prod/tls/site.pem", "inventories/prod/tls/site.key", "site.retry", "inventories/prod/hosts.retry"),
    *(".vault_password", ".env", ".idea/workspace.xml", "examples/endpoint.key.yml"),
    *(
        "inventories/prod/id_ed25519",
        "inventories/prod/token.txt",
        "inventories/prod/key.yml",
        "inventories/prod/hosts.yml~",
    ),
    *("inventories/prod/tls/site.p12", "inventories/prod/tls/site.pfx", "inventories/prod/tls/site.KEY"),
    *("inventories/prod/files/site.key.bak", "inventories/prod/group_vars/all/secrets.yml", "docs/ssh/id_rsa"),
)
# no pattern can know these: only a build from what git has leaves them out
UNFORESEEN = (
    "inventories/prod/host_vars/gpu1.yml",
    "inventories/prod/notes",
    "report.json",
    "my-inventory.yml",
    "docs/x.txt",
)


def run(*command: str, cwd: Path, **env: str) -> str:
    """A command that sees neither the checkout nor its configuration."""
    clean = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": str(cwd.parent),
        "LANG": "C.UTF-8",
        **env,
    }
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks, beside which a user keeps private files."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "serving"
    tracked = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, copy / name, follow_symlinks=False)
    for name in PRIVATE:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(PRIVATE_TEXT)
    run(str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(folder), cwd=copy)
    return next(folder.glob("fullrank-serving-*.tar.gz"))


@pytest.fixture(scope="module")
def place(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    run(
        str(BIN / "ansible-galaxy"),
        "collection",
        "install",
        str(tarball),
        "-p",
        str(folder / "collections"),
        cwd=folder,
    )
    (folder / "hosts.yml").write_text(INVENTORY)
    return folder


def test_the_tarball_holds_the_collection_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        top = {name.partition("/")[0] for name in archive.getnames()}
    assert top == {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "FILES.json",
        "LICENSE",
        "MANIFEST.json",
        "README.md",
        "changelogs",
        "docs",
        "examples",
        "inventories",
        "meta",
        "playbooks",
        "plugins",
        "roles",
        "site.yml",
    }


def test_the_tarball_holds_the_shipped_inventories_and_no_private_file(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        files = {one.name: archive.extractfile(one) for one in archive.getmembers() if one.isfile()}
        private = [
            name for name, file in files.items() if file and PRIVATE_TEXT in file.read().decode(errors="replace")
        ]
        folders = {one.name for one in archive.getmembers() if one.isdir()}
    assert private == []
    assert {name.split("/")[1] for name in files if name.startswith("inventories/")} == {"h20", "local", "prod"}
    tracked = subprocess.run(
        ["git", "ls-files", "inventories"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert {name for name in files if name.startswith("inventories/")} == set(tracked.stdout.split())
    assert not {name for name in folders if name.startswith(".")}


def test_a_build_from_what_git_has_takes_no_file_beside_it(tarball: Path, tmp_path: Path) -> None:
    copy = tmp_path / "serving"
    run("git", "clone", "--quiet", str(CHECKOUT), str(copy), cwd=tmp_path)
    shutil.copy(CHECKOUT / "galaxy.yml", copy)
    shutil.copy(CHECKOUT / "tools/build-collection", copy / "tools")
    for name in (*PRIVATE, *UNFORESEEN):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(PRIVATE_TEXT)
    run(str(copy / "tools/build-collection"), str(tmp_path), cwd=tmp_path)
    with tarfile.open(next(tmp_path.glob("fullrank-serving-*.tar.gz"))) as archive:
        names = set(archive.getnames())
        files = [archive.extractfile(one) for one in archive.getmembers() if one.isfile()]
        assert not [file for file in files if file and PRIVATE_TEXT in file.read().decode(errors="replace")]
    assert {"site.yml", "inventories/prod/hosts.yml"} <= names


def test_every_plugin_is_documented_by_its_full_name(place: Path) -> None:
    seen = json.loads(
        run(
            str(BIN / "ansible-doc"),
            *("--metadata-dump", "--no-fail-on-errors", "fullrank.serving"),
            cwd=place,
            ANSIBLE_COLLECTIONS_PATH=str(place / "collections"),
        )
    )["all"]
    modules = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())["action_groups"]["serving"]
    assert {name.rpartition(".")[2] for name in seen["module"]} == set(modules)
    lookups = {path.stem for path in (CHECKOUT / "plugins/lookup").glob("*.py")}
    assert {name.rpartition(".")[2] for name in seen["lookup"]} == lookups
    for kind in ("module", "filter", "lookup", "role"):
        for name, entry in seen[kind].items():
            assert "error" not in entry, f"{kind} {name}: {entry}"


def test_a_playbook_runs_by_its_full_name(place: Path) -> None:
    text = run(
        str(BIN / "ansible-playbook"),
        *("fullrank.serving.plan", "-i", "hosts.yml"),
        cwd=place,
        ANSIBLE_COLLECTIONS_PATH=str(place / "collections"),
    )
    assert "alone: x by vllm 0.32.0 at http://127.0.0.1:8000/v1" in text
    assert "vllm serve /srv/models/x" in text


def test_the_chain_runs_by_its_full_name_and_names_a_node_that_does_not_answer(place: Path) -> None:
    command = [str(BIN / "ansible-playbook"), "fullrank.serving.site", "-i", "hosts.yml"]
    env = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": str(place.parent),
        "ANSIBLE_COLLECTIONS_PATH": str(place / "collections"),
    }
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode != 0
    assert "UNREACHABLE" in done.stdout


def test_the_execution_environment_is_one_that_ansible_builder_accepts(tarball: Path, tmp_path: Path) -> None:
    """Its context is made, and the collection is installed from it as the build would; an image needs a registry."""
    folder = tmp_path / "execution-environment"
    shutil.copytree(CHECKOUT / "execution-environment", folder)
    shutil.copy(tarball, folder)
    run(str(BIN / "ansible-builder"), "create", cwd=folder)
    install = ["collection", "install", "-r", "requirements.yml", "-p", str(tmp_path / "collections")]
    run(str(BIN / "ansible-galaxy"), *install, cwd=folder / "context/_build")
    assert (tmp_path / "collections/ansible_collections/fullrank/serving/MANIFEST.json").is_file()


def test_every_role_is_documented(place: Path) -> None:
    listed = json.loads(
        run(
            str(BIN / "ansible-doc"),
            *("--list", "--type", "role", "--json", "fullrank.serving"),
            cwd=place,
            ANSIBLE_COLLECTIONS_PATH=str(place / "collections"),
        )
    )
    roles = {path.name for path in (CHECKOUT / "roles").iterdir()}
    assert {name.rpartition(".")[2] for name in listed} == roles
