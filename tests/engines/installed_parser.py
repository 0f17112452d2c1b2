# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by an engine's own interpreter: describes its real command line parser, then asks it.

``python installed_parser.py FILE_OF_describe.py ENGINE`` writes one line of JSON: the version and the options. It answers
each further line of its input, a JSON list of command lines, with one line: what the parser says against each, or "".
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Argparse(NamedTuple):
    """A program's parser, and the subcommands that lead to the options."""

    whole: argparse.ArgumentParser
    words: tuple[str, ...] = ()

    def options(self, describe: Any) -> list[dict[str, Any]]:
        parser = self.whole
        for word in self.words:
            (choices,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
            parser = choices[word]
        return list(describe.argparse_options(parser))

    def objection(self, argv: list[str]) -> str:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                self.whole.parse_args([*self.words, *argv])
        except SystemExit:
            return (said.getvalue().strip() or "ends without a word").splitlines()[-1]
        return ""


class Click(NamedTuple):
    command: Any

    def options(self, describe: Any) -> list[dict[str, Any]]:
        return list(describe.click_options(self.command))

    def objection(self, argv: list[str]) -> str:
        from click import ClickException

        try:
            self.command.make_context(self.command.name, list(argv))
        except ClickException as refused:
            return refused.format_message()
        return ""


def captured(program: Callable[..., Any], *arguments: Any) -> argparse.ArgumentParser:
    """Run a program until it parses its command line; its parser at that moment."""
    parsers: list[argparse.ArgumentParser] = []
    parse_args = argparse.ArgumentParser.parse_args

    def capture(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        parsers.append(self)
        raise KeyboardInterrupt

    argparse.ArgumentParser.parse_args = capture  # type: ignore[method-assign]
    try:
        program(*arguments)
    except KeyboardInterrupt:
        return parsers[0]
    finally:
        argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign]
    raise AssertionError("the parser was not used")


def vllm() -> Argparse:
    sys.argv = ["vllm", "--help"]  # help texts are only made for those who ask for help
    from vllm.entrypoints.cli import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm")
    commands = parser.add_subparsers(dest="subparser")
    for command in serve.cmd_init():
        command.subparser_init(commands)
    return Argparse(parser, ("serve",))


def sglang() -> Argparse:
    from sglang.srt.server_args import prepare_server_args

    return Argparse(captured(prepare_server_args, ["--model-path", "m"]))


def lmdeploy() -> Argparse:
    from lmdeploy.cli.entrypoint import run

    words = ("serve", "api_server")
    sys.argv = ["lmdeploy", *words, "m"]
    return Argparse(captured(run), words)


def ray() -> Click:
    from ray.scripts.scripts import start

    return Click(start)


def sglang_router() -> Argparse:
    from sglang_router.launch_router import parse_router_args

    return Argparse(captured(parse_router_args, ["--host", "h"]))


def smg() -> Argparse:
    from smg.cli import main

    return Argparse(captured(main, ["launch", "--host", "h"]))


PARSERS: dict[str, Callable[[], Argparse | Click]] = {
    each.__name__: each for each in (vllm, sglang, lmdeploy, ray, sglang_router, smg)
}


def module_of(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    describe_file, engine = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print while they are imported
    parser = PARSERS[engine]()
    version = importlib.metadata.version(engine)  # smg 1.13.0 calls itself 1.1.0
    print(
        json.dumps({"version": version, "options": parser.options(module_of(Path(describe_file)))}),
        file=answers,
        flush=True,
    )
    for line in sys.stdin:
        print(json.dumps([parser.objection(argv) for argv in json.loads(line)]), file=answers, flush=True)
    os._exit(0)  # nothing is left to tidy, and leaving vLLM or SGLang the usual way takes seconds


if __name__ == "__main__":
    main()
