"""Run by an engine's own interpreter: prints its version and the options of its real command line parser as JSON.

``python installed_parser.py FILE_OF_describe.py ENGINE``
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
from typing import Any


def vllm() -> argparse.ArgumentParser:
    sys.argv = ["vllm", "--help"]  # help texts are only made for those who ask for help
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))


def sglang() -> argparse.ArgumentParser:
    from sglang.srt import server_args

    parsers: list[argparse.ArgumentParser] = []

    def capture(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        parsers.append(self)
        raise KeyboardInterrupt

    argparse.ArgumentParser.parse_args = capture  # type: ignore[method-assign]
    try:
        server_args.prepare_server_args(["--model-path", "m"])
    except KeyboardInterrupt:
        return parsers[0]
    raise AssertionError("the parser was not used")


def main() -> None:
    describe_file, engine = sys.argv[1:]
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print while they are imported
    spec = importlib.util.spec_from_file_location("describe", describe_file)
    describe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(describe)
    parser = {"vllm": vllm, "sglang": sglang}[engine]()
    version = importlib.import_module(engine).__version__
    json.dump({"version": version, "options": describe.argparse_options(parser)}, result)
    result.flush()


if __name__ == "__main__":
    main()
