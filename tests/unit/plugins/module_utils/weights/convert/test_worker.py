# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FP8 times scale, bit by bit, against exact arithmetic: the worker in the engine's PyTorch, the reference in integers here."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import fp8_checkpoint
from exact_bf16 import NAN, bf16, e4m3, f32, product
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import CHECKOUT

WORKER = CHECKOUT / "plugins/module_utils/weights/convert/worker.py"
pytestmark = pytest.mark.engine


def single_bits(value: float) -> int:
    return int.from_bytes(struct.pack("<f", value), "little")


def twice_rounded(code: int, scale: float) -> int:
    """What is computed in float32 and then stored in BF16: the published scripts' way."""
    return bf16(f32(single_bits(e4m3(code) * scale)))


Convert = Callable[..., list[int]]


@pytest.fixture(scope="module")
def convert() -> Iterator[Convert]:
    """Codes and scales to the bits of BF16, by the worker."""
    command = [
        os.environ.get("FULLRANK_VLLM_PYTHON", "python3"),
        str(CHECKOUT / "tests/unit/convert_child.py"),
        str(WORKER),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout

        def run(
            codes: bytes,
            shape: list[int],
            scale: bytes,
            scale_shape: list[int],
            *,
            dtype: str = "F32",
            block: tuple[int, int] | None = None,
            **sizes: int,
        ) -> list[int]:
            tensors: dict[str, Any] = {
                "w": {"dtype": "F8_E4M3", "shape": shape},
                "w_scale": {"dtype": dtype, "shape": scale_shape},
            }
            scales, dropped = fp8_checkpoint.plan(tensors, fp8_checkpoint.Scheme("fp8", block))
            assert dropped == ["w_scale"]
            laid = scales["w"]
            assert laid
            request = {"piece_bytes": 1 << 20, "cache_elements": 1 << 17, **sizes}
            request |= {"laid": laid, "shape": shape, "codes": codes.hex(), "scale": scale.hex()}
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
            assert line, "the child ended"
            answer = json.loads(line)
            out = bytes.fromhex(answer["out"])
            assert answer["written"] == hashlib.sha256(out).hexdigest()
            assert answer["counted"] == len(out)
            bits = struct.unpack(f"<{len(out) // 2}H", out)
            return [NAN if one & 0x7F80 == 0x7F80 and one & 0x7F else one for one in bits]

        yield run
        child.stdin.close()


def floats(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


ANY_SCALE = st.integers(0, 2**32 - 1).map(f32)
USUAL = st.floats(2.0**-20, 2.0**-3, width=32)
SCALE = st.one_of(
    USUAL,
    ANY_SCALE,
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 2.0**-149, 2.0**-126, 3.4028234663852886e38]),
)
SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(st.data())
def test_blocks_of_any_shape(convert: Convert, data: st.DataObject) -> None:
    block = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
    rows, columns = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    grid = (-(-rows // block[0]), -(-columns // block[1]))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    pool = data.draw(st.lists(SCALE, min_size=1, max_size=6))
    scale = [rng.choice(pool) for _ in range(grid[0] * grid[1])]
    everything = range(256) if data.draw(st.booleans()) else [c for c in range(256) if c & 0x7F != 0x7F]
    codes = bytes(rng.choice(everything) for _ in range(rows * columns))
    got = convert(
        codes,
        [rows, columns],
        floats(scale),
        list(grid),
        block=block,
        piece_bytes=data.draw(st.integers(1, 4000)),
        cache_elements=data.draw(st.integers(1, 2000)),
    )
    for at, code in enumerate(codes):
        row, column = divmod(at, columns)
        factor = scale[row // block[0] * grid[1] + column // block[1]]
        assert got[at] == product(code, factor), (row, column, code, factor)


SHAPES = {
    "one number": ([5, 7], [], lambda p, r, c: 0),
    "one element": ([5, 7], [1], lambda p, r, c: 0),
    "each row": ([5, 7], [5, 1], lambda p, r, c: r),
    "each row, flat": ([5, 7], [5], lambda p, r, c: r),
    "each column": ([5, 7], [1, 7], lambda p, r, c: c),
    "each expert": ([3, 5, 7], [3], lambda p, r, c: p),
    "each expert's columns": ([3, 5, 7], [3, 1, 7], lambda p, r, c: p * 7 + c),
    "each expert's rows": ([3, 5, 7], [3, 5, 1], lambda p, r, c: p * 5 + r),
}


@pytest.mark.parametrize("name", SHAPES)
@SETTINGS
@given(st.data())
def test_tensors_channels_and_experts(convert: Convert, name: str, data: st.DataObject) -> None:
    shape, scale_shape, where = SHAPES[name]
    planes, rows, columns = [1, *shape][-3:]
    scale = data.draw(st.lists(SCALE, min_size=math.prod(scale_shape), max_size=math.prod(scale_shape)))
    codes = data.draw(st.binary(min_size=math.prod(shape), max_size=math.prod(shape)))
    got = convert(codes, shape, floats(scale), scale_shape, piece_bytes=data.draw(st.integers(1, 200)))
    for at, code in enumerate(codes):
        plane, inside = divmod(at, rows * columns)
        assert got[at] == product(code, scale[where(plane, *divmod(inside, columns))])
    assert planes * rows * columns == len(got)


def test_blocks_of_stacked_experts(convert: Convert) -> None:
    rng = random.Random(1)
    codes, scale = rng.randbytes(2 * 5 * 7), [rng.uniform(1e-4, 1e-3) for _ in range(2 * 3 * 2)]
    scale = list(struct.unpack("<12f", floats(scale)))
    got = convert(codes, [2, 5, 7], floats(scale), [2, 3, 2], block=(2, 4), piece_bytes=21)
    for at, code in enumerate(codes):
        plane, inside = divmod(at, 35)
        row, column = divmod(inside, 7)
        assert got[at] == product(code, scale[plane * 6 + row // 2 * 2 + column // 4])


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F8_E8M0"])
def test_narrow_scales(convert: Convert, dtype: str) -> None:
    codes = bytes(range(256))
    if dtype == "F8_E8M0":
        raws = [bytes([one]) for one in (0, 1, 100, 127, 254, 255)]
        values = [2.0 ** (one[0] - 127) if one[0] != 255 else math.nan for one in raws]
    elif dtype == "F16":
        raws = [bytes.fromhex(one) for one in ("0100", "003c", "ff7b", "007c")]
        values = [struct.unpack("<e", one)[0] for one in raws]
    else:
        raws = [bytes.fromhex(one) for one in ("0100", "803f", "7f7f", "5a39", "807f")]
        values = [f32(int.from_bytes(one, "little") << 16) for one in raws]
    for raw, value in zip(raws, values, strict=True):
        assert convert(codes, [16, 16], raw, [1], dtype=dtype) == [product(code, value) for code in codes]


def test_where_float32_rounds_twice_the_result_is_still_right(convert: Convert) -> None:
    """Such scales are found by search; the published way is wrong for them, so this test would notice it."""
    rng = random.Random(0)
    differing: list[float] = []
    while len(differing) < 3:
        scale = f32(rng.getrandbits(23) | 115 << 23)
        # a tie of BF16 after the first rounding is where the second one can go wrong
        ties = [code for code in range(0x38, 0x40) if single_bits(e4m3(code) * scale) & 0xFFFF == 0x8000]
        if any(product(code, scale) != twice_rounded(code, scale) for code in ties):
            differing.append(scale)
    grid = [1e-3, *differing]
    grid = list(struct.unpack("<4f", floats(grid)))
    codes = bytes(code for _ in range(2) for code in range(256) if code & 0x7F != 0x7F) + bytes(4)
    rows = len(codes) // 4
    got = convert(codes, [rows, 4], floats(grid), [1, 4])
    for at, code in enumerate(codes):
        assert got[at] == product(code, grid[at % 4])


def test_the_reference_agrees_with_known_values() -> None:
    assert [bf16(one) for one in (1.0, -2.0, 0.0, math.inf, 3.4e38, 1.00390625, 1.01171875)] == [
        0x3F80,
        0xC000,
        0,
        0x7F80,
        0x7F80,
        0x3F80,
        0x3F82,
    ]
    assert e4m3(0x7E) == 448 and e4m3(0x01) == 2.0**-9 and e4m3(0x88) == -(2.0**-6)
