# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes plugins/plugin_utils/data/models/defaults.json from the configuration classes that are installed beside vLLM.

``python -m tools.model_defaults`` runs the interpreter that FULLRANK_VLLM_PYTHON names (default: tests/engines/vllm-python, after
``make engines``). Kept are fields whose name a reader of plugin_utils/memory has in quotes, and the type of the language part.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
MEMORY = CHECKOUT / "plugins/plugin_utils/memory"
TARGET = CHECKOUT / "plugins/plugin_utils/data/models/defaults.json"
PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder_config", "lm_config")
NEEDED = {
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "decoder_layers",
    "num_attention_heads",
    "text_part",
}
PROGRAM = r"""
import dataclasses, inspect, json, os, warnings
os.environ.update(HF_HUB_OFFLINE="1", VLLM_LOGGING_LEVEL="ERROR", TRANSFORMERS_VERBOSITY="error")
warnings.filterwarnings("ignore")
import transformers
import vllm
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from vllm.transformers_utils.config import _CONFIG_REGISTRY

def defaults(cls):
    found = {}
    if dataclasses.is_dataclass(cls):
        for one in dataclasses.fields(cls):
            if one.default is not dataclasses.MISSING:
                found[one.name] = one.default
    for name, one in inspect.signature(cls.__init__).parameters.items():
        if one.default is not inspect.Parameter.empty:
            found.setdefault(name, one.default)
    return found

result = {}
for names, source in ((CONFIG_MAPPING_NAMES, CONFIG_MAPPING), (list(_CONFIG_REGISTRY), _CONFIG_REGISTRY)):
    for name in names:
        try:
            cls = source[name]
            parts = {key: getattr(value, "model_type", "") for key, value in getattr(cls, "sub_configs", {}).items()}
            before = result.get(name, {"own": {}, "parts": {}})
            result[name] = {"own": {**before["own"], **defaults(cls)}, "parts": {**before["parts"], **parts}}
        except Exception as problem:
            print("left out", name, repr(problem)[:100])
versions = {"transformers": transformers.__version__, "vllm": vllm.__version__}
print("RESULT " + json.dumps({"classes": result, "versions": versions}, default=str))
"""


def vocabulary() -> set[str]:
    """Every word in quotes of the readers."""
    sources = [*(MEMORY / "models").glob("*.py"), MEMORY / "model.py"]
    return {word for path in sources for word in re.findall(r'"([A-Za-z][\w]*)"', path.read_text())}


def reduced(classes: dict[str, Any], words: set[str]) -> dict[str, dict[str, Any]]:
    """The fields that are read, of types that have a language model."""
    table = {}
    for name, found in classes.items():
        own = {
            field: value
            for field, value in found["own"].items()
            if field in words
            and field != "model_type"
            and value is not None
            and isinstance(value, (bool, int, float, str))
        }
        text = next((found["parts"][part] for part in PARTS if found["parts"].get(part)), "")
        if text:
            own["text_part"] = text
        if NEEDED & set(own) and ("vocab_size" in own or text):
            table[name] = dict(sorted(own.items()))
    return dict(sorted(table.items()))


def main() -> None:
    """Write the file."""
    python = os.environ.get("FULLRANK_VLLM_PYTHON") or str(CHECKOUT / "tests/engines/vllm-python")
    done = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    content = {"versions": found["versions"], "classes": reduced(found["classes"], vocabulary())}
    rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in content["classes"].items()]
    head = f'{{\n"versions": {json.dumps(content["versions"])},\n"classes": {{\n'
    TARGET.write_text(head + ",\n".join(rows) + "\n}\n}\n", encoding="utf-8")
    print(f"{TARGET.relative_to(CHECKOUT)}: {len(rows)} classes")


if __name__ == "__main__":
    main()
