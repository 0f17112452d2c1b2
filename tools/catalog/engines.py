# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to import and call in each engine's wheel so that it builds its command line parser."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from packaging.version import Version

# The machine that the parser is to believe it is on: NVIDIA GPUs, nothing else.
CUDA = {
    "torch:version.hip": None,
    "torch:version.cuda": "12.8",
    "torch:version.xpu": None,
    "torch:version.musa": None,
    "torch:cuda.is_available()": True,
    "torch:cuda.get_device_capability()": (9, 0),
    "torch:xpu.is_available()": False,
    "torch:hpu.is_available()": False,
    "torch:npu.is_available()": False,
    "torch:musa.is_available()": False,
    "torch:backends.mps.is_available()": False,
    "torch:iinfo()": types.SimpleNamespace(min=-(2**63), max=2**63 - 1, bits=64),
}

OTHER_ACCELERATORS = (
    "amdsmi",
    "habana_frameworks",
    "intel_extension_for_pytorch",
    "libtpu",
    "neuronxcc",
    "oneccl_bindings_for_pytorch",
    "tpu_info",
    "torch_neuronx",
    "torch_xla",
    "transformers_neuronx",
)

LIGHT = ("msgspec", "packaging", "yaml", "_yaml")


@dataclass(frozen=True)
class Engine:
    """One engine command.

    project: its name on the index. package: its import name. oldest: the first version in the catalog.
    command: what the options belong to. entry: the module that is imported first.
    build: returns the parser (argparse) or the command (click).
    real: modules of the wheel that are executed from the start (``.*``: with all below). stubbed: those that never are.
    installed: light packages that must be the real ones. absent: packages that must seem not to be installed.
    abbreviations: whether the parser takes unique prefixes for whole names.
    last_patch_only: only the last version of each minor release goes into the catalog.
    """

    name: str
    project: str
    package: str
    oldest: str
    command: str
    entry: str
    real: tuple[str, ...]
    build: Callable[[], Any]
    installed: tuple[str, ...] = LIGHT
    absent: tuple[str, ...] = ()
    stubbed: tuple[str, ...] = ()
    abbreviations: bool = True
    last_patch_only: bool = False

    def wants(self, versions: list[str]) -> list[str]:
        """Those of all published versions (ascending) that belong into the catalog."""
        new = [v for v in versions if Version(v) >= Version(self.oldest)]
        if not self.last_patch_only:
            return new
        last = {Version(v).release[:2]: v for v in new if not Version(v).is_prerelease}
        return list(last.values())


class _Captured(BaseException):
    pass


def _captured(module: str, function: str, arguments: list[Any], argv: list[str]) -> argparse.ArgumentParser:
    """Call a function that builds a parser and parses with it; take the parser at that moment."""
    parsers: list[argparse.ArgumentParser] = []

    def capture(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        parsers.append(self)
        raise _Captured

    call = getattr(importlib.import_module(module), function)
    original = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = capture  # type: ignore[method-assign]
    sys.argv = argv
    try:
        call(*arguments)
    except _Captured:
        pass
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]
    return parsers[0]


def _subparser(parser: argparse.ArgumentParser, *names: str) -> argparse.ArgumentParser:
    for name in names:
        (choices,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = choices[name]
    return parser


def _sglang() -> Any:
    return _captured("sglang.srt.server_args", "prepare_server_args", [["--model-path", "m"]], ["x"])


def _lmdeploy() -> Any:
    parser = _captured("lmdeploy.cli.entrypoint", "run", [], ["lmdeploy", "serve", "api_server", "m"])
    return _subparser(parser, "serve", "api_server")


def _sglang_router() -> Any:
    return _captured("sglang_router.launch_router", "parse_router_args", [["--host", "h"]], ["x"])


def _smg() -> Any:
    return _captured("smg.launch_router", "parse_router_args", [["--host", "h"]], ["x"])


def _ray() -> Any:
    return importlib.import_module("ray.scripts.scripts").start


def _first(*names: str) -> Any:
    """The first of ``module:attribute`` that exists: vLLM moved these between versions."""
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise LookupError(names)


def _vllm() -> Any:
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    # Help texts are only made for "--help", and they name what is deprecated; "serve --help" would hide --model.
    sys.argv = ["vllm", "--help"]
    sys.modules["regex"] = re  # the patterns that import-time code matches are plain ones
    platforms: Any = importlib.import_module("vllm.platforms")
    interface: Any = importlib.import_module("vllm.platforms.interface")
    base: Any = interface.Platform

    class Cuda(base):  # a CUDA machine on which nothing is probed
        _enum = interface.PlatformEnum.CUDA
        device_name = device_type = "cuda"
        ray_device_key = "GPU"
        dispatch_key = "CUDA"

    platforms._current_platform = Cuda()
    if "current_platform" in vars(platforms):
        platforms.current_platform = platforms._current_platform
    parser = _first("vllm.utils.argparse_utils:FlexibleArgumentParser", "vllm.utils:FlexibleArgumentParser")
    make = _first(
        "vllm.entrypoints.launchers.cli_args:make_arg_parser",
        "vllm.entrypoints.common.cli_args:make_arg_parser",
        "vllm.entrypoints.openai.cli_args:make_arg_parser",
    )
    return make(parser(prog="vllm serve"))


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            name="sglang",
            project="sglang",
            package="sglang",
            oldest="0.4.0",
            command="python -m sglang.launch_server",
            entry="sglang.srt.server_args",
            real=("sglang.srt.server_args", "sglang.srt.arg_groups.*"),
            build=_sglang,
        ),
        Engine(
            name="vllm",
            project="vllm",
            package="vllm",
            oldest="0.7.3",
            command="vllm serve",
            entry="vllm.platforms",
            real=("vllm.*",),
            stubbed=("vllm.ir",),  # registers operators with torch, which has to read their signatures for that
            build=_vllm,
            installed=(
                *LIGHT,
                "pydantic",
                "pydantic_core",
                "typing_extensions",
                "typing_inspection",
                "annotated_types",
            ),
            absent=OTHER_ACCELERATORS,
        ),
        Engine(
            name="lmdeploy",
            project="lmdeploy",
            package="lmdeploy",
            oldest="0.7.0",
            command="lmdeploy serve api_server",
            entry="lmdeploy.cli.entrypoint",
            real=("lmdeploy.cli.*", "lmdeploy.utils"),  # the latter adds a log level, and all are choices
            build=_lmdeploy,
        ),
        Engine(
            name="ray",
            project="ray",
            package="ray",
            oldest="2.40.0",
            command="ray start",
            entry="ray.scripts.scripts",
            # the logger brings a decorator that adds options to the command
            real=("ray.scripts.scripts", "ray.autoscaler._private.cli_logger"),
            build=_ray,
            installed=(*LIGHT, "click"),
            absent=("colorful",),
            abbreviations=False,  # click takes whole names only
            last_patch_only=True,
        ),
        Engine(
            name="sglang_router",
            project="sglang-router",
            package="sglang_router",
            oldest="0.1.0",
            command="python -m sglang_router.launch_router",
            entry="sglang_router.launch_router",
            real=("sglang_router.launch_router", "sglang_router.router_args"),
            build=_sglang_router,
        ),
        Engine(
            name="smg",
            project="smg",
            package="smg",
            oldest="0.4.0",
            command="python -m smg.launch_router",
            entry="smg.launch_router",
            real=("smg.launch_router", "smg.router_args"),
            build=_smg,
        ),
    )
}
