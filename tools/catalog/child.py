# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One extraction in a fresh process: ``python -m tools.catalog.child ENGINE VERSION``.

Reads from standard input a JSON list of further modules that must be real. Writes the options and the origins of the
stubs that leaked into them or were consulted while the parser was built.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from typing import Any

from tools.catalog import stubs
from tools.catalog.describe import argparse_options, click_options
from tools.catalog.engines import CUDA, ENGINES
from tools.catalog.index import WheelFiles


def extract(name: str, version: str, more_real: list[str]) -> dict[str, Any]:
    engine = ENGINES[name]
    files = WheelFiles(engine.project, version)
    stubs.install(stubs.Finder(files, engine, more_real), CUDA)
    logging.disable(logging.CRITICAL)
    logging._nameToLevel.pop("VERBOSE", None)  # pip's own, from fetching the files; LMDeploy offers every known level
    importlib.import_module(engine.entry)
    stubs.consulted.clear()  # while modules are imported, much is consulted that the parser never sees
    parser = engine.build()
    consulted = list(dict.fromkeys(stubs.consulted))
    options = argparse_options(parser) if isinstance(parser, argparse.ArgumentParser) else click_options(parser)
    leaked = stubs.MARK.findall(json.dumps([{**option, "help": ""} for option in options], ensure_ascii=False))
    return {"options": options, "leaked": list(dict.fromkeys(leaked)), "consulted": consulted}


def main() -> None:
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the imported code prints is not the result
    json.dump(extract(sys.argv[1], sys.argv[2], json.load(sys.stdin)), result)
    result.flush()


if __name__ == "__main__":
    main()
