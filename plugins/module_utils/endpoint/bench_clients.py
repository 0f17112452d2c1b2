# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines' own benchmark clients: how they are called, and what they report. Pure; private to this collection.

Run with vLLM 0.32.0 (``vllm bench serve``, in releases from 0.9 on) and SGLang 0.5.23 (``sglang.bench_serving``). Both speak to
any OpenAI-compatible server, take their prompts from a file, and read the key from ``OPENAI_API_KEY``. vLLM's leaves out prompts
of more than 1,024 tokens. SGLang's wants answers of 4 tokens or more, and writes all options of the server that it measures,
the API key among them, into its result file: of that nothing but the numbers may leave the node.

Texts are embedded by vLLM's client alone (``--backend openai-embeddings``; vllm/benchmarks/serve.py,
calculate_metrics_for_embeddings, 0.32.0): read there, not run.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CLIENTS = ("vllm", "sglang")
GENERATE, EMBED = "generate", "embed"

OPTIONS: dict[str, dict[str, Any]] = {
    "deployment": {"type": "str", "required": True},
    "client": {"type": "str", "choices": list(CLIENTS), "required": True},
    "venv": {"type": "path"},
    "container": {"type": "str"},
    "runtime": {"type": "str", "choices": ["docker", "podman", "nerdctl"], "default": "docker"},
    "task": {"type": "str", "choices": [GENERATE, EMBED], "default": GENERATE},
    "url": {"type": "str", "required": True},
    "model": {"type": "str", "required": True},
    "tokenizer": {"type": "str", "required": True, "no_log": False},
    "api_key": {"type": "str", "no_log": True},
    "prompts": {"type": "list", "elements": "str", "default": []},
    "prompt_words": {"type": "int", "default": 256},
    "concurrency": {"type": "list", "elements": "int", "required": True},
    "requests": {"type": "int", "required": True},
    "repeats": {"type": "int", "default": 1},
    "output_tokens": {"type": "int", "default": 128, "no_log": False},
    "warmups": {"type": "int", "default": 1},
    "seed": {"type": "int", "default": 0},
    "timeout": {"type": "int", "default": 1800},
}
"""Of the module and of its action."""


@dataclass(frozen=True)
class Load:
    """What is sent: ``requests`` prompts from ``prompts_file``, ``concurrency`` at a time, each for ``output_tokens`` tokens.

    url: of the server, without ``/v1``. tokenizer: its folder. warmups: requests that do not count. task: with EMBED each prompt
    is a text to embed.
    """

    url: str
    model: str
    tokenizer: str
    prompts_file: str
    result_file: str
    requests: int
    concurrency: int
    output_tokens: int
    warmups: int
    seed: int
    task: str = GENERATE


def prompts(number: int, words: int, seed: int) -> list[str]:
    """As many prompts of as many words. The same for the same ``seed``, whatever the engine; others for another seed, so that no
    cache of prefixes answers for the model."""
    dice = random.Random(seed)
    return [" ".join(dice.choice(_WORDS) for _word in range(words)) for _prompt in range(number)]


_WORDS = (
    "rank node port wire fan rack disk core lane link path mesh tile page seed loop gate mask beam norm head layer bias step "
    "batch token queue cache graph shard tensor kernel socket switch router driver memory vector signal window bridge anchor"
).split()


def prompts_text(prompts: Sequence[str]) -> str:
    """The prompts as a file in the ShareGPT form, the one that both clients read with nothing but their engine installed."""
    return json.dumps([{"conversations": [{"value": prompt}, {"value": "-"}]} for prompt in prompts])


# where the client is; from 0.5.23 on its old place is deprecated
_SGLANG = (
    "from importlib.util import find_spec; from runpy import run_module; "
    "new = find_spec('sglang.benchmark') and find_spec('sglang.benchmark.serving'); "
    "run_module('sglang.benchmark.serving' if new else 'sglang.bench_serving', run_name='__main__', alter_sys=True)"
)


def argv(client: str, venv: str, load: Load) -> list[str]:
    """The command line of ``client``. venv: of the engine; empty where its programs are on the path (an image)."""
    places = f"{venv}/bin/" if venv else ""
    options = {
        "--base-url": load.url,
        "--model": load.model,
        "--tokenizer": load.tokenizer,
        "--dataset-name": "sharegpt",
        "--dataset-path": load.prompts_file,
        "--num-prompts": load.requests,
        "--max-concurrency": load.concurrency,
        "--seed": load.seed,
        "--sharegpt-output-len": load.output_tokens,
    }
    if client == "vllm":
        program = [f"{places}vllm", "bench", "serve"]
        flags = ["--save-result", "--ignore-eos", "--disable-tqdm"]
        folder, _unused, name = load.result_file.rpartition("/")
        options |= {
            "--backend": "openai",
            "--num-warmups": load.warmups,
            "--percentile-metrics": "ttft,tpot,itl,e2el",
            "--metric-percentiles": "99",
            "--result-dir": folder,
            "--result-filename": name,
        }
        if load.task == EMBED:
            flags.remove("--ignore-eos")
            options |= {
                "--backend": "openai-embeddings",
                "--endpoint": "/v1/embeddings",
                "--percentile-metrics": "e2el",
            }
    else:
        program = [f"{places}python3" if not venv else f"{places}python", "-c", _SGLANG]
        flags = ["--disable-tqdm"]
        options |= {
            "--backend": "vllm",  # its word for any server with /v1/completions
            "--warmup-requests": load.warmups,
            "--output-file": load.result_file,
        }
    return [*program, *(word for name, value in options.items() for word in (name, str(value))), *flags]


def measured(client: str, text: str, requests: int, task: str = GENERATE) -> dict[str, Any]:
    """What a client wrote into its result file, in our words.

    completed and failed (requests), seconds, input_tokens, output_tokens, output_tokens_per_s, requests_per_s, and ttft_ms,
    itl_ms, tpot_ms, each with median, mean and p99. SGLang's client does not count failures: they are what is missing of
    ``requests``. Of EMBED in place of what is about tokens of answers: texts_per_s, and latency_ms, of the whole answer.
    Raises ValueError for a file that is not one of ``client``'s.
    """
    try:
        raw: Mapping[str, Any] = json.loads(text.strip().splitlines()[-1] if client == "sglang" else text)
        completed = int(raw["completed"])
        common = {
            "completed": completed,
            "failed": int(raw.get("failed", requests - completed)),
            "seconds": round(float(raw["duration"]), 3),
            "input_tokens": int(raw["total_input_tokens"]),
            "requests_per_s": round(float(raw["request_throughput"]), 3),
        }
        if task == EMBED:
            whole = {which: round(float(raw[f"{which}_e2el_ms"]), 2) for which in ("median", "mean", "p99")}
            return {**common, "texts_per_s": common["requests_per_s"], "latency_ms": whole}
        return {
            **common,
            "output_tokens": int(raw["total_output_tokens"]),
            "output_tokens_per_s": round(float(raw["output_throughput"]), 2),
            **{
                f"{name}_ms": {which: round(float(raw[f"{which}_{name}_ms"]), 2) for which in ("median", "mean", "p99")}
                for name in ("ttft", "itl", "tpot")
            },
        }
    except (IndexError, KeyError, TypeError, ValueError) as broken:
        raise ValueError(f"not a result of {client}'s client: {type(broken).__name__} {broken}") from broken


def last_word(output: str) -> str:
    """The line of a client's output with the reason for its failure: the last that is not empty."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"
