# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of an option that takes JSON, against what they mean, and against the parser of vLLM itself."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.dotted import is_dotted
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog

Args = dict[str, Any]
MEANT: list[tuple[Args, Args]] = [
    # as people write them, what they mean
    ({"speculative-config.method": "mtp"}, {"speculative_config": {"method": "mtp"}}),
    (
        {"--speculative-config.method": "mtp", "--speculative-config.num_speculative_tokens": "3"},
        {"speculative_config": {"method": "mtp", "num_speculative_tokens": 3}},
    ),
    (
        {"limit-mm-per-prompt.video": 0, "limit_mm_per_prompt.image": 2},
        {"limit_mm_per_prompt": {"video": 0, "image": 2}},
    ),
    (
        {"compilation-config.pass_config.fuse_allreduce_rms": True, "cc.mode": 3, "-cc.cudagraph_mode": "FULL"},
        {"compilation_config": {"pass_config": {"fuse_allreduce_rms": True}, "mode": 3, "cudagraph_mode": "FULL"}},
    ),
    ({"-O.pass_config.enable_noop": "true"}, {"compilation_config": {"pass_config": {"enable_noop": True}}}),
    (
        {"speculative_config": {"method": "mtp"}, "speculative_config.num_speculative_tokens": 1},
        {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}},
    ),
    (
        {"compilation-config": '{"mode": 3}', "compilation_config": None, "cc.pass_config": {"enable_noop": True}},
        {"compilation_config": {"mode": 3, "pass_config": {"enable_noop": True}}},
    ),
    (
        {"cc.custom_ops+": "+rms_norm", "-cc.custom_ops+": ["+silu"]},
        {"compilation_config": {"custom_ops": ["+rms_norm", "+silu"]}},
    ),
    ({"cc.max_cudagraph_capture_size": "1k"}, {"compilation_config": {"max_cudagraph_capture_size": 1000}}),
    ({"cc.mode": 3, "compilation_config.mode": 3}, {"compilation_config": {"mode": 3}}),
    ({"cc.mode": None, "seed": 1}, {"seed": 1}),
]


@pytest.mark.parametrize(("written", "meant"), MEANT)
def test_parts_make_the_whole(written: Args, meant: Args) -> None:
    checked = read_catalog("vllm").at("0.20.2").check(written, "engine_args")
    assert checked.findings == []
    assert {option.key: value for option, value in checked.options} == meant


WRONG: list[tuple[Args, str, str]] = [
    ({"cc.mode": 3, "compilation_config": {"mode": 2}}, "option-set-twice", "by cc.mode and by compilation_config"),
    ({"cc.pass_config": 1, "cc.pass_config.enable_noop": True}, "option-set-twice", "pass_config is set twice"),
    ({"speculative_config": "mtp", "speculative_config.method": "mtp"}, "option-set-twice", "as a whole"),
    ({"speculative_confg.method": "mtp"}, "option-unknown", "no option --speculative-confg"),
    ({"seed.x": 1}, "option-type", "--seed"),
]


@pytest.mark.parametrize(("written", "code", "words"), WRONG)
def test_what_cannot_be_put_together(written: Args, code: str, words: str) -> None:
    (found,) = read_catalog("vllm").at("0.20.2").check(written, "engine_args").findings
    assert (found["severity"], found["code"]) == ("fail", code)
    assert words in found["message"]


@pytest.mark.parametrize("name", ["a", "a.", ".a", "a..b", "--", "a b.c", "0.5"])
def test_other_names_have_no_parts(name: str) -> None:
    assert not is_dotted(name)


PARSER = """
import json, sys
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
for names in (("--compilation-config", "-cc"), ("--speculative-config", "-sc"), ("--limit-mm-per-prompt",)):
    parser.add_argument(*names, type=json.loads)
for line in sys.stdin:
    print(json.dumps({k: v for k, v in vars(parser.parse_args(json.loads(line))).items() if v is not None}), flush=True)
"""


def on_a_command_line(written: Args) -> list[str]:
    words: list[str] = []
    for name, value in written.items():
        text = ",".join(value) if isinstance(value, list) else value if isinstance(value, str) else json.dumps(value)
        words += [f"-{name}" if name.startswith("cc") else name if name.startswith("-") else f"--{name}", text]
    return words


@pytest.mark.engine
@pytest.mark.skipif(
    "FULLRANK_VLLM_PYTHON" not in os.environ, reason="no interpreter of an environment with vLLM is named"
)
def test_vllm_itself_reads_the_same() -> None:
    """Parts in one spelling of the option: of several spellings, and of whole and parts, vLLM lets the last win, and forgets the
    others."""
    cases = [
        (on_a_command_line(written), meant)
        for written, meant in MEANT
        if None not in written.values() and len({name.lstrip("-").split(".")[0] for name in written}) == 1
    ]
    gone = "-O."
    cases = [(words, meant) for words, meant in cases if not words[0].startswith(gone) and "." in words[0]]
    text = "\n".join(json.dumps(words) for words, _meant in cases)
    program = [os.environ["FULLRANK_VLLM_PYTHON"], "-c", PARSER]
    done = subprocess.run(program, input=text, capture_output=True, text=True, check=True, timeout=300)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert answers == [meant for _words, meant in cases]
    assert len(cases) >= 3
